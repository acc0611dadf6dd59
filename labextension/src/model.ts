/**
 * The credentials model: asks the server when it is told to, and says so when something changed.
 */
import type { ServerConnection } from '@jupyterlab/services';
import { type ISignal, Signal } from '@lumino/signaling';

import {
  type IKey,
  type ISecret,
  ServerExtensionMissing,
  requestPod,
  requestRedaction,
  requestRegistries,
  requestSecrets
} from './request';
import type { ICredentialsModel, IFailure, IInventory, Phase } from './tokens';

/**
 * The credentials of this notebook as the server last described them.
 *
 * It has no timer: a request would count for nothing in the server, yet a notebook that nobody
 * looks at has no reason to send one.
 */
export class CredentialsModel implements ICredentialsModel {
  /**
   * @param settings - How to reach the server.
   * @param now - The clock, in milliseconds.
   */
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly now: () => number = Date.now
  ) {}

  get phase(): Phase {
    return this._phase;
  }

  get refreshing(): boolean {
    return this._pending > 0;
  }

  get inventory(): IInventory | null {
    return this._inventory;
  }

  get error(): Error | null {
    return this._error;
  }

  get filter(): string {
    return this._filter;
  }

  set filter(filter: string) {
    if (filter !== this._filter) {
      this._filter = filter;
      this._changed.emit();
    }
  }

  get changed(): ISignal<ICredentialsModel, void> {
    return this._changed;
  }

  async refresh(): Promise<void> {
    const request = ++this._lastRequest;
    this._pending += 1;
    this._requestedAt = this.now();
    this._changed.emit();
    let outcome: IInventory | Error;
    try {
      const failures: IFailure[] = [];
      const orFailure =
        (part: IFailure['part']) =>
        (error: unknown): null => {
          failures.push({ part, error: asError(error) });
          return null;
        };
      const [secrets, registries, pod, redaction] = await Promise.all([
        requestSecrets(this.settings),
        requestRegistries(this.settings).catch(orFailure('registries')),
        requestPod(this.settings).catch(orFailure('pod')),
        // It only gives the rules' names a better sound.
        requestRedaction(this.settings).catch(() => null)
      ]);
      outcome = { secrets, registries, pod, redaction, failures };
    } catch (error) {
      outcome = asError(error);
    }
    this._pending -= 1;
    // An answer that was overtaken says what was, not what is.
    if (request === this._lastRequest) {
      this._settle(outcome);
    }
    this._changed.emit();
  }

  async refreshIfOlder(seconds: number): Promise<void> {
    if (this.now() - this._requestedAt >= seconds * 1000) {
      await this.refresh();
    }
  }

  private _settle(outcome: IInventory | Error): void {
    this._error = null;
    if (outcome instanceof ServerExtensionMissing) {
      this._phase = 'missing-server';
      this._inventory = null;
    } else if (outcome instanceof Error) {
      this._phase = 'error';
      this._error = outcome;
    } else {
      this._phase = 'ready';
      this._inventory = outcome;
    }
  }

  private _phase: Phase = 'loading';
  private _inventory: IInventory | null = null;
  private _error: Error | null = null;
  private _filter = '';
  private _pending = 0;
  private _lastRequest = 0;
  private _requestedAt = -Infinity;
  private readonly _changed = new Signal<this, void>(this);
}

/**
 * A secret that matches the filter, with those of its keys that do.
 */
export interface IMatch {
  readonly secret: ISecret;
  readonly keys: readonly IKey[];
  /**
   * Whether it was a key, not the secret itself, that matched.
   */
  readonly byKey: boolean;
}

/**
 * The secrets in which every word of the filter occurs: in the name, PodDefault, a mount path or a
 * key. Case does not count.
 *
 * Where the secret itself matches, all of its keys are there; else those that do.
 */
export function matches(
  secrets: readonly ISecret[],
  filter: string
): readonly IMatch[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found: IMatch[] = [];
  for (const secret of secrets) {
    const own = [
      secret.name,
      secret.poddefault ?? '',
      ...secret.mounts.map(mount => mount.path ?? '')
    ]
      .join('\n')
      .toLowerCase();
    const rest = words.filter(word => !own.includes(word));
    if (rest.length === 0) {
      found.push({ secret, keys: secret.keys, byKey: false });
      continue;
    }
    const keys = secret.keys.filter(key => {
      const text = `${key.name}\n${key.variable ?? ''}`.toLowerCase();
      return rest.every(word => text.includes(word));
    });
    if (keys.length > 0) {
      found.push({ secret, keys, byKey: true });
    }
  }
  return found;
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
