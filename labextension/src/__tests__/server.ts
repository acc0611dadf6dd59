/**
 * A Jupyter server's answers, handed to the real `ServerConnection`.
 */
import { ServerConnection } from '@jupyterlab/services';

import type {
  IKey,
  IPod,
  IRegistries,
  IRegistry,
  IRegistryFile,
  ISecret,
  ISecrets
} from '../request';

/**
 * What an endpoint answers: a body, a status and a text, or an error of the network.
 */
export type Answer = object | { status: number; text: string } | Error;

/**
 * The answers of a server by endpoint; 404 for any other.
 */
export class FakeServer {
  readonly asked: string[] = [];
  answers: Record<string, Answer | (() => Promise<Answer>)> = {};

  readonly settings = ServerConnection.makeSettings({
    baseUrl: 'http://hub.example/notebook/alice/nb/',
    fetch: async input => {
      const url = input instanceof Request ? input.url : String(input);
      this.asked.push(url);
      const given =
        this.answers[new URL(url).pathname.split('/api/v1/')[1] ?? ''];
      const answer = typeof given === 'function' ? await given() : given;
      if (answer instanceof Error) {
        throw answer;
      }
      if (answer === undefined) {
        return new Response('<html>404</html>', { status: 404 });
      }
      if ('status' in answer && 'text' in answer) {
        return new Response(answer.text, { status: answer.status });
      }
      return new Response(JSON.stringify(answer));
    }
  });
}

export function key(name: string, fields: Partial<IKey> = {}): IKey {
  return {
    name,
    state: 'ready',
    reason: null,
    kind: 'volume',
    path: `/secret/x/${name}`,
    variable: null,
    updated: null,
    ...fields
  };
}

export function secret(name: string, fields: Partial<ISecret> = {}): ISecret {
  return {
    name,
    state: 'ready',
    reason: null,
    poddefault: null,
    mounts: [
      {
        kind: 'volume',
        path: `/secret/${name}`,
        state: 'ready',
        reason: null,
        updated: null
      }
    ],
    keys: [],
    ...fields
  };
}

export function secrets(...each: ISecret[]): ISecrets {
  return { secrets: each, roots: ['/secret', '/secrets'], notes: [] };
}

export const POD: IPod = {
  namespace: 'alice',
  name: 'nb-0',
  notebook: 'nb',
  notes: ['No stamps: the pod has no downward-API files.']
};

export function registry(
  name: string,
  kind: IRegistry['kind'],
  fields: Partial<IRegistry> = {}
): IRegistry {
  return { name, kind, helper: null, reason: null, ...fields };
}

export function file(path: string, ...each: IRegistry[]): IRegistryFile {
  return {
    path,
    origin: 'home directory',
    state: 'ready',
    reason: null,
    used: true,
    registries: each
  };
}

export const REGISTRIES: IRegistries = {
  files: [
    file(
      '/home/jovyan/.docker/config.json',
      registry('https://index.docker.io/v1/', 'static')
    )
  ],
  notes: []
};
