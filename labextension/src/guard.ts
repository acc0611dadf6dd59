/**
 * The guard model: what each kernel says of its guard, by itself; it asks and runs nothing.
 */
import type { ISessionContext } from '@jupyterlab/apputils';
import type { IConsoleTracker } from '@jupyterlab/console';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { type ISignal, Signal } from '@lumino/signaling';

import type {
  GuardState,
  IGuard,
  IGuardModel,
  IMask,
  IUnguarded
} from './tokens';

/**
 * The trackers of the widgets that have kernels; each may be missing.
 */
export interface IKernelTrackers {
  readonly notebooks: INotebookTracker | null;
  readonly consoles: IConsoleTracker | null;
}

/**
 * The guards of the kernels of all notebooks and consoles that are open.
 *
 * All are followed, not only the current one: what a long run masks in a notebook that nobody looks
 * at is there when somebody does.
 */
export class GuardModel implements IGuardModel {
  constructor({ notebooks, consoles }: IKernelTrackers) {
    this._follow(notebooks, ({ sessionContext }) => sessionContext);
    this._follow(consoles, ({ sessionContext }) => sessionContext);
  }

  get current(): IGuard | null {
    const context = this._context;
    const watch = context && this._watches.get(context);
    return watch ? watch.describe(context.name) : null;
  }

  get changed(): ISignal<IGuardModel, void> {
    return this._changed;
  }

  private _follow<T>(
    tracker: ITracker<T> | null,
    contextOf: (widget: T) => ISessionContext
  ): void {
    if (tracker === null) {
      return;
    }
    const add = (_: unknown, widget: T): void => this._watch(contextOf(widget));
    const choose = (_: unknown, widget: T | null): void => {
      if (widget !== null) {
        this._context = contextOf(widget);
        this._changed.emit();
      }
    };
    tracker.forEach(widget => add(tracker, widget));
    tracker.widgetAdded.connect(add);
    choose(tracker, tracker.currentWidget);
    tracker.currentChanged.connect(choose);
    this._currents.push(() => {
      const widget = tracker.currentWidget;
      return widget && contextOf(widget);
    });
  }

  private _watch(context: ISessionContext): void {
    const changed = (): void => {
      if (context === this._context) {
        this._changed.emit();
      }
    };
    const exchange = (): void => {
      this._watches.get(context)?.dispose();
      this._watches.delete(context);
      const kernel = context.session?.kernel;
      if (kernel) {
        this._watches.set(context, new KernelWatch(kernel, changed));
      }
      changed();
    };
    context.kernelChanged.connect(exchange);
    context.propertyChanged.connect(changed);
    context.disposed.connect(() => {
      this._watches.get(context)?.dispose();
      this._watches.delete(context);
      if (context === this._context) {
        this._context =
          this._currents
            .map(current => current())
            .find(each => each !== null && !each.isDisposed) ?? null;
        this._changed.emit();
      }
    });
    exchange();
  }

  private _context: ISessionContext | null = null;
  private readonly _currents: (() => ISessionContext | null)[] = [];
  private readonly _watches = new Map<ISessionContext, KernelWatch>();
  private readonly _changed = new Signal<this, void>(this);
}

/**
 * What is needed of a tracker of widgets.
 */
interface ITracker<T> {
  readonly currentWidget: T | null;
  readonly currentChanged: ISignal<unknown, T | null>;
  readonly widgetAdded: ISignal<unknown, T>;
  forEach(visit: (widget: T) => void): void;
}

/**
 * What one kernel says of its guard, and what it masked since it started or the page was opened.
 */
class KernelWatch {
  constructor(
    kernel: Kernel.IKernelConnection,
    private readonly _changed: () => void
  ) {
    kernel.anyMessage.connect(this._onMessage, this);
    kernel.statusChanged.connect(this._onStatus, this);
    kernel.info.then(
      info => {
        // A later answer, after a restart, may have come first.
        if (this._announced.state === 'silent' && !this._restarted) {
          this._announce(info);
        }
      },
      () => undefined
    );
  }

  dispose(): void {
    Signal.clearData(this);
    window.clearTimeout(this._timer);
    this._timer = undefined;
  }

  describe(document: string): IGuard {
    return {
      ...this._announced,
      document,
      masked: [...this._masked.values()].reverse()
    };
  }

  private _onMessage(
    _: unknown,
    { msg, direction }: Kernel.IAnyMessageArgs
  ): void {
    const { session, msg_type: type } = msg.header;
    // What is still under way of a kernel that was restarted is not the new one's.
    if (direction !== 'recv' || (session && session === this._gone)) {
      return;
    }
    if (type === 'kernel_info_reply') {
      // Somebody else restarted it.
      if (this._session && session !== this._session) {
        this._masked.clear();
      }
      this._session = session;
      this._announce(msg.content);
    } else {
      // The server sends a status of its own.
      this._session ||= type === 'status' ? '' : session;
      this._note(msg);
    }
  }

  private _onStatus(_: unknown, status: Kernel.Status): void {
    if (status === 'restarting' || status === 'autorestarting') {
      this._restarted = true;
      this._gone = this._session || this._gone;
      this._session = '';
      this._masked.clear();
      this._announced = SILENT;
      this._changed();
    }
  }

  private _announce(info: unknown): void {
    this._announced = readAnnouncement(info);
    this._changed();
  }

  private _note(msg: KernelMessage.IMessage): void {
    const { metadata, content, header } = msg;
    if (!metadata?.['kfsecrets']) {
      return;
    }
    // An error is told twice: to everyone, and to whoever asked.
    if (
      header.msg_type === 'execute_reply' &&
      (content as { status?: unknown }).status === 'error'
    ) {
      return;
    }
    const masked = readMasked(metadata['kfsecrets']);
    for (const { label, rule, count } of masked) {
      const key = JSON.stringify([label, rule]);
      const before = this._masked.get(key)?.count ?? 0;
      this._masked.delete(key);
      this._masked.set(key, {
        label,
        rule,
        count: before + count,
        last: new Date()
      });
    }
    for (const key of this._masked.keys()) {
      if (this._masked.size <= LATELY) {
        break;
      }
      this._masked.delete(key);
    }
    // A loop may mask in each of thousands of messages.
    if (masked.length > 0 && this._timer === undefined) {
      this._timer = window.setTimeout(() => {
        this._timer = undefined;
        this._changed();
      }, TOGETHER);
    }
  }

  private _announced: IAnnouncement = SILENT;
  private _gone = '';
  private readonly _masked = new Map<string, IMask>();
  private _restarted = false;
  private _session = '';
  private _timer: number | undefined;
}

type IAnnouncement = Omit<IGuard, 'document' | 'masked'>;

const SILENT: IAnnouncement = {
  state: 'silent',
  reason: null,
  language: '',
  unguarded: []
};

// What is shown of what a kernel says, which may be anything.
const LATELY = 50;
const MOST = 1000;
const LONGEST = 600;
const TOGETHER = 100; // ms

/**
 * Read a kernel's announcement; a kernel that makes none, or an odd one, counts as not guarded.
 */
export function readAnnouncement(info: unknown): IAnnouncement {
  const content = asObject(info);
  const language = text(asObject(content['language_info'])['name']);
  const said = asObject(content['kfsecrets']);
  const guard = said['guard'];
  const state: GuardState =
    guard === 'on' || guard === 'off' || guard === 'failed'
      ? guard
      : 'unguarded';
  const unguarded: IUnguarded[] = [];
  for (const each of state === 'unguarded' ? [] : list(said['unguarded'])) {
    const { secret, key, reason } = asObject(each);
    if (
      typeof secret === 'string' &&
      typeof key === 'string' &&
      (reason === 'short' || reason === 'common' || reason === 'public')
    ) {
      unguarded.push({ secret: text(secret), key: text(key), reason });
    }
  }
  return { state, reason: text(said['reason']) || null, language, unguarded };
}

function readMasked(metadata: unknown): Omit<IMask, 'last'>[] {
  const masked: Omit<IMask, 'last'>[] = [];
  for (const each of list(asObject(metadata)['masked'])) {
    const { label, rule, count } = asObject(each);
    if (typeof label === 'string' && typeof rule === 'string') {
      masked.push({
        label: text(label),
        rule: text(rule),
        count: Number.isSafeInteger(count) ? Math.max(1, Number(count)) : 1
      });
    }
  }
  return masked;
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)
    : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, MOST) : [];
}

function text(value: unknown): string {
  const whole = typeof value === 'string' ? value : '';
  return whole.length > LONGEST ? `${whole.slice(0, LONGEST)}…` : whole;
}
