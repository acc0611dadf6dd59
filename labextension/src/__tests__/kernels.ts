/**
 * Notebooks, consoles and kernels as the trackers show them, without a server behind them.
 */
import type { IConsoleTracker } from '@jupyterlab/console';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';
import { Signal } from '@lumino/signaling';

/**
 * What a message says of a mask.
 */
export function entry(label: unknown, rule: unknown, count: unknown = 1) {
  return { label, rule, count };
}

/**
 * A kernel's connection; what the kernel sends is what the test says.
 */
export class FakeKernel {
  readonly anyMessage = new Signal<this, Kernel.IAnyMessageArgs>(this);
  readonly statusChanged = new Signal<this, Kernel.Status>(this);
  readonly reply = new PromiseDelegate<unknown>();
  /** Changes when the kernel's process does. */
  session = 'first';

  get info(): Promise<unknown> {
    return this.reply.promise;
  }

  /**
   * Send a message.
   */
  send(
    type: string,
    {
      metadata = {},
      content = {},
      session = this.session,
      direction = 'recv'
    }: {
      metadata?: unknown;
      content?: unknown;
      session?: string;
      direction?: 'recv' | 'send';
    } = {}
  ): void {
    const header = { msg_type: type, session };
    const msg = { header, metadata, content, parent_header: {} };
    this.anyMessage.emit({ msg, direction } as never);
  }

  /**
   * Send a message in which something was masked.
   */
  mask(label: string, rule: string, count = 1, type = 'stream'): void {
    const masked = [entry(label, rule, count)];
    this.send(type, { metadata: { kfsecrets: { masked } } });
  }

  /**
   * Answer with an announcement, as a kernel does that was asked by somebody else.
   */
  announce(kfsecrets: unknown, language = 'python'): void {
    const content = { language_info: { name: language }, kfsecrets };
    this.send('kernel_info_reply', { content });
  }
}

/**
 * What a notebook or console has of its session.
 */
export class FakeContext {
  constructor(
    public name: string,
    kernel: FakeKernel | null = null
  ) {
    this.session = kernel && { kernel };
  }

  readonly kernelChanged = new Signal<this, void>(this);
  readonly propertyChanged = new Signal<this, string>(this);
  readonly disposed = new Signal<this, void>(this);
  isDisposed = false;
  session: { kernel: FakeKernel | null } | null;

  use(kernel: FakeKernel | null): void {
    this.session = kernel && { kernel };
    this.kernelChanged.emit();
  }

  close(): void {
    this.isDisposed = true;
    this.disposed.emit();
  }
}

interface IFakeWidget {
  readonly sessionContext: FakeContext;
}

/**
 * A tracker of notebooks or consoles.
 */
export class FakeTracker {
  readonly currentChanged = new Signal<this, IFakeWidget | null>(this);
  readonly widgetAdded = new Signal<this, IFakeWidget>(this);
  readonly widgets: IFakeWidget[] = [];
  currentWidget: IFakeWidget | null = null;

  forEach(visit: (widget: IFakeWidget) => void): void {
    this.widgets.forEach(visit);
  }

  /**
   * Open a document, which becomes the current one.
   */
  open(sessionContext: FakeContext): void {
    const widget = { sessionContext };
    this.widgets.push(widget);
    this.widgetAdded.emit(widget);
    this.choose(sessionContext);
  }

  choose(context: FakeContext): void {
    this.currentWidget =
      this.widgets.find(each => each.sessionContext === context) ?? null;
    this.currentChanged.emit(this.currentWidget);
  }

  asNotebooks(): INotebookTracker {
    return this as unknown as INotebookTracker;
  }

  asConsoles(): IConsoleTracker {
    return this as unknown as IConsoleTracker;
  }
}

/**
 * Let promises settle.
 */
export async function turn(): Promise<void> {
  for (let i = 0; i < 5; i += 1) {
    await Promise.resolve();
  }
}
