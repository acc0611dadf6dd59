/**
 * The server's endpoints as typed calls.
 */
import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

/**
 * What is known of a secret or a mount.
 */
export type SecretState = 'ready' | 'stale' | 'empty' | 'unreadable';

/**
 * What is known of a key.
 */
export type KeyState = 'ready' | 'stale' | 'unreadable' | 'too-large';

/**
 * The way by which a key came into the pod.
 */
export type MountKind = 'volume' | 'subPath' | 'environment';

/**
 * One key of a secret.
 */
export interface IKey {
  readonly name: string;
  readonly state: KeyState;
  readonly reason: string | null;
  readonly kind: MountKind;
  readonly path: string | null;
  readonly variable: string | null;
  readonly updated: string | null;
}

/**
 * One place where a secret is mounted.
 */
export interface IMount {
  readonly kind: MountKind;
  readonly path: string | null;
  readonly state: SecretState;
  readonly reason: string | null;
  readonly updated: string | null;
}

/**
 * One secret; the first mount is the one that `get_secret` reads.
 */
export interface ISecret {
  readonly name: string;
  readonly state: SecretState;
  readonly reason: string | null;
  readonly poddefault: string | null;
  readonly mounts: readonly IMount[];
  readonly keys: readonly IKey[];
}

/**
 * The answer of `secrets`.
 */
export interface ISecrets {
  readonly secrets: readonly ISecret[];
  readonly roots: readonly string[];
  readonly notes: readonly string[];
}

/**
 * One registry that a Docker configuration file names.
 */
export interface IRegistry {
  readonly name: string;
  readonly kind: 'static' | 'token' | 'helper' | 'empty' | 'invalid';
  readonly helper: string | null;
  readonly reason: string | null;
}

/**
 * One place where a Docker configuration file may be.
 */
export interface IRegistryFile {
  readonly path: string;
  readonly origin: string;
  readonly state: 'ready' | 'absent' | 'invalid' | 'unreadable';
  readonly reason: string | null;
  readonly used: boolean;
  readonly registries: readonly IRegistry[];
}

/**
 * The answer of `registries`.
 */
export interface IRegistries {
  readonly files: readonly IRegistryFile[];
  readonly notes: readonly string[];
}

/**
 * The answer of `pod`.
 */
export interface IPod {
  readonly namespace: string | null;
  readonly name: string | null;
  readonly notebook: string | null;
  readonly notes: readonly string[];
}

/**
 * The part of the answer of `redaction` that is shown: each part of a rule's name in plain words.
 */
export interface IRedaction {
  readonly rules: readonly { readonly rule: string; readonly text: string }[];
}

/**
 * The server extension is not there: the server knows no such endpoint.
 */
export class ServerExtensionMissing extends Error {
  constructor() {
    super('The server extension kfsecrets_ext is not enabled.');
    this.name = 'ServerExtensionMissing';
  }
}

/**
 * The server could not be reached.
 */
export class ServerUnreachable extends Error {
  constructor() {
    super('The Jupyter server could not be reached.');
    this.name = 'ServerUnreachable';
  }
}

/**
 * The server refused, or failed.
 */
export class RequestFailed extends Error {
  /**
   * @param status - The HTTP status.
   * @param detail - The server's own sentence; empty if it gave none.
   */
  constructor(
    readonly status: number,
    readonly detail: string
  ) {
    super(detail || `HTTP ${status}`);
    this.name = 'RequestFailed';
  }
}

/**
 * The answer is not one of this server extension: a proxy's log-in page, say.
 */
export class UnexpectedAnswer extends Error {
  constructor() {
    super('The answer is not one of the server extension kfsecrets_ext.');
    this.name = 'UnexpectedAnswer';
  }
}

/**
 * Ask for the secrets.
 *
 * @throws ServerExtensionMissing, ServerUnreachable, RequestFailed, UnexpectedAnswer
 */
export async function requestSecrets(
  settings: ServerConnection.ISettings
): Promise<ISecrets> {
  const answer = await get<ISecrets>('secrets', settings);
  if (!Array.isArray(answer.secrets)) {
    throw new UnexpectedAnswer();
  }
  return {
    secrets: answer.secrets,
    roots: answer.roots ?? [],
    notes: answer.notes ?? []
  };
}

/**
 * Ask for the registries; `null` where the server has no such endpoint.
 *
 * @throws ServerUnreachable, RequestFailed, UnexpectedAnswer
 */
export async function requestRegistries(
  settings: ServerConnection.ISettings
): Promise<IRegistries | null> {
  const answer = await getOptional<IRegistries>('registries', settings);
  if (answer === null) {
    return null;
  }
  if (!Array.isArray(answer.files)) {
    throw new UnexpectedAnswer();
  }
  return { files: answer.files, notes: answer.notes ?? [] };
}

/**
 * Ask for the pod; `null` where the server has no such endpoint.
 *
 * @throws ServerUnreachable, RequestFailed, UnexpectedAnswer
 */
export async function requestPod(
  settings: ServerConnection.ISettings
): Promise<IPod | null> {
  const answer = await getOptional<IPod>('pod', settings);
  return answer && { ...answer, notes: answer.notes ?? [] };
}

/**
 * Ask how values are masked; `null` where the server has no such endpoint.
 *
 * @throws ServerUnreachable, RequestFailed, UnexpectedAnswer
 */
export async function requestRedaction(
  settings: ServerConnection.ISettings
): Promise<IRedaction | null> {
  const answer = await getOptional<IRedaction>('redaction', settings);
  return answer && { rules: answer.rules ?? [] };
}

async function getOptional<T>(
  endpoint: string,
  settings: ServerConnection.ISettings
): Promise<T | null> {
  try {
    return await get<T>(endpoint, settings);
  } catch (error) {
    if (error instanceof ServerExtensionMissing) {
      return null;
    }
    throw error;
  }
}

async function get<T>(
  endpoint: string,
  settings: ServerConnection.ISettings
): Promise<T> {
  const url = URLExt.join(settings.baseUrl, 'kfsecrets/api/v1', endpoint);
  let response: Response;
  let text: string;
  try {
    response = await ServerConnection.makeRequest(url, {}, settings);
    text = await response.text();
  } catch {
    throw new ServerUnreachable();
  }
  if (response.status === 404) {
    throw new ServerExtensionMissing();
  }
  const answer = parseObject(text);
  if (!response.ok) {
    const message = answer?.message;
    throw new RequestFailed(
      response.status,
      typeof message === 'string' ? message : ''
    );
  }
  if (answer === null) {
    throw new UnexpectedAnswer();
  }
  return answer as T;
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
