/**
 * What other extensions may use of this one: the token of the credentials model and the command IDs.
 */
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

import type { IPod, IRedaction, IRegistries, ISecrets } from './request';

/**
 * The IDs of the commands.
 */
export namespace CommandIDs {
  /**
   * Show the panel.
   */
  export const open = 'kfsecrets:open';

  /**
   * Ask the server for the credentials again.
   */
  export const refresh = 'kfsecrets:refresh';

  /**
   * Insert the snippet of a key, `{ name, key }`, where the user writes.
   */
  export const insertSnippet = 'kfsecrets:insert-snippet';

  /**
   * Copy the snippet of a key, `{ name, key }`, to the clipboard.
   */
  export const copySnippet = 'kfsecrets:copy-snippet';

  /**
   * Insert the snippet of a registry, `{ registry, helpers }`, where the user writes.
   */
  export const insertRegistry = 'kfsecrets:insert-registry';

  /**
   * Copy the snippet of a registry, `{ registry, helpers }`, to the clipboard.
   */
  export const copyRegistry = 'kfsecrets:copy-registry';
}

/**
 * What the commands that insert or copy came to: where nothing can be inserted, the code is copied.
 */
export type Outcome = 'inserted' | 'copied';

/**
 * Where the last request has got to.
 *
 * `missing-server` means that the server has no kfsecrets_ext extension.
 */
export type Phase = 'loading' | 'ready' | 'error' | 'missing-server';

/**
 * What the last complete answer said: names and places, never a value.
 */
export interface IInventory {
  /**
   * The secrets, and the roots that were looked at.
   */
  readonly secrets: ISecrets;

  /**
   * The registries that Docker configuration files name; `null` where the server does not list them.
   */
  readonly registries: IRegistries | null;

  /**
   * The pod; `null` where the server does not describe it.
   */
  readonly pod: IPod | null;

  /**
   * How values are masked; `null` where the server does not tell.
   */
  readonly redaction: IRedaction | null;

  /**
   * What the server could not say of the registries and the pod; the secrets are listed all the same.
   */
  readonly failures: readonly IFailure[];
}

/**
 * A part of the inventory that the server could not give.
 */
export interface IFailure {
  readonly part: 'registries' | 'pod';
  readonly error: Error;
}

/**
 * The credentials of this notebook as the server last described them.
 */
export interface ICredentialsModel {
  /**
   * Where the last request has got to.
   */
  readonly phase: Phase;

  /**
   * Whether a request is under way.
   */
  readonly refreshing: boolean;

  /**
   * The last complete answer. It stays while a later request is under way, or after one failed.
   */
  readonly inventory: IInventory | null;

  /**
   * Why the last request failed; `null` unless `phase` is `error`.
   */
  readonly error: Error | null;

  /**
   * The words by which the user narrows the list.
   */
  filter: string;

  /**
   * Emitted when any of the above has changed.
   */
  readonly changed: ISignal<ICredentialsModel, void>;

  /**
   * Ask the server again. Resolves when the answer is in; never rejects.
   */
  refresh(): Promise<void>;

  /**
   * Ask the server again, unless the last answer is younger than `seconds`.
   */
  refreshIfOlder(seconds: number): Promise<void>;
}

/**
 * The token of the credentials model.
 */
export const ICredentialsModel = new Token<ICredentialsModel>(
  'kfsecrets-ext:ICredentialsModel',
  'The credentials that are mounted in this notebook: names and places, never values.'
);

/**
 * What a kernel's guard is.
 *
 * `unguarded`: the kernel announces none; `silent`: the kernel has not answered yet.
 */
export type GuardState = 'on' | 'off' | 'failed' | 'unguarded' | 'silent';

/**
 * A key whose value is not looked for in outputs.
 */
export interface IUnguarded {
  readonly secret: string;
  readonly key: string;
  readonly reason: 'short' | 'common' | 'public';
}

/**
 * What was masked in a kernel's messages, and how often.
 */
export interface IMask {
  /**
   * Secret and key.
   */
  readonly label: string;

  /**
   * The rule that found it, as the kernel calls it.
   */
  readonly rule: string;

  readonly count: number;

  /**
   * When it was masked for the last time.
   */
  readonly last: Date;
}

/**
 * The guard of one kernel. All text in it is the kernel's own, and may be anything.
 */
export interface IGuard {
  /**
   * The name of the notebook or console.
   */
  readonly document: string;

  readonly state: GuardState;

  /**
   * Why it is off or failed; `null` where the kernel gives no reason.
   */
  readonly reason: string | null;

  /**
   * The kernel's language; empty where it is not known.
   */
  readonly language: string;

  /**
   * The keys whose values are not looked for.
   */
  readonly unguarded: readonly IUnguarded[];

  /**
   * What was masked since the kernel started or the page was opened, the latest first.
   */
  readonly masked: readonly IMask[];
}

/**
 * The guards of the kernels that are open.
 */
export interface IGuardModel {
  /**
   * The guard of the current notebook's or console's kernel; `null` where there is none.
   */
  readonly current: IGuard | null;

  /**
   * Emitted when the above has changed.
   */
  readonly changed: ISignal<IGuardModel, void>;
}

/**
 * The token of the guard model.
 */
export const IGuardModel = new Token<IGuardModel>(
  'kfsecrets-ext:IGuardModel',
  'Whether the kernels that are open mask the values of credentials in what they send.'
);
