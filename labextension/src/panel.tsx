/**
 * The side panel.
 */
import type { ITranslator } from '@jupyterlab/translation';
import { ReactWidget, SidePanel, UseSignal } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { AccordionPanel, Panel, type Widget } from '@lumino/widgets';
import * as React from 'react';

import { keyIcon } from './icons';
import type { IKeyQuery, IRegistryQuery } from './snippet';
import { CommandIDs, type ICredentialsModel, type Outcome } from './tokens';
import type { IActions } from './views/actions';
import { Credentials } from './views/credentials';
import { Header } from './views/header';
import { Registries } from './views/registries';

/**
 * The credentials of this notebook, in a side bar of JupyterLab or Notebook.
 *
 * It asks the server when it is shown, when the user says so, and when the user comes back to the
 * window after a while; never on a timer.
 */
export class CredentialsPanel extends SidePanel {
  constructor(options: CredentialsPanel.IOptions) {
    super({ header: new Panel(), translator: options.translator });
    const { commands, model, translator } = options;
    const trans = translator.load('kfsecrets_ext');
    this._model = model;

    this.id = 'kfsecrets-ext-panel';
    this.addClass('jp-KfSecrets');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Credentials'));
    this.title.icon = keyIcon;
    this.title.caption = trans.__('Credentials');

    const ofKeys = this._actions<IKeyQuery>(
      commands,
      CommandIDs.insertSnippet,
      CommandIDs.copySnippet
    );
    const ofRegistries = this._actions<IRegistryQuery>(
      commands,
      CommandIDs.insertRegistry,
      CommandIDs.copyRegistry
    );
    const changes = this._changes;
    const header = ReactWidget.create(
      <UseSignal signal={changes}>
        {() => (
          <Header
            model={model}
            message={this._message}
            onFilter={filter => {
              this._say(null);
              model.filter = filter;
            }}
            onRefresh={() => {
              this._say(null);
              void model.refresh();
            }}
            trans={trans}
          />
        )}
      </UseSignal>
    );
    header.addClass('jp-KfSecrets-top');
    this.header.addWidget(header);

    const credentials = ReactWidget.create(
      <UseSignal signal={changes}>
        {() => <Credentials model={model} actions={ofKeys} trans={trans} />}
      </UseSignal>
    );
    credentials.addClass('jp-KfSecrets-section');
    credentials.title.label = trans.__('Secrets');
    this.addWidget(credentials);

    this._registries = ReactWidget.create(
      <UseSignal signal={changes}>
        {() => (
          <Registries model={model} actions={ofRegistries} trans={trans} />
        )}
      </UseSignal>
    );
    this._registries.addClass('jp-KfSecrets-section');
    // It scrolls, and may have nothing that takes the focus.
    this._registries.node.tabIndex = 0;
    this._registries.title.label = trans.__('Registries');

    model.changed.connect(this._onModelChanged, this);
    window.addEventListener('focus', this);
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    window.removeEventListener('focus', this);
    Signal.clearData(this);
    this._registries.dispose();
    super.dispose();
  }

  /**
   * Called by the browser when its window gets the focus.
   */
  handleEvent(): void {
    if (this.isVisible) {
      void this._model.refreshIfOlder(CredentialsPanel.FRESH_SECONDS);
    }
  }

  protected override onAfterShow(message: Message): void {
    super.onAfterShow(message);
    void this._model.refresh();
  }

  protected override onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.node.querySelector('input')?.focus();
  }

  private _actions<T extends IKeyQuery | IRegistryQuery>(
    commands: CommandRegistry,
    insert: string,
    copy: string
  ): IActions<T> {
    const action = (command: string) => () =>
      commands.hasCommand(command)
        ? async (query: T): Promise<Outcome> => {
            const outcome: unknown = await commands.execute(command, {
              ...query
            });
            const done = outcome === 'inserted' ? 'inserted' : 'copied';
            this._say(done);
            return done;
          }
        : null;
    return { insert: action(insert), copy: action(copy) };
  }

  private _onModelChanged(): void {
    const files = this._model.inventory?.registries?.files ?? [];
    if (files.length === 0) {
      this._registries.parent = null;
    } else if (this._registries.parent === null) {
      this.addWidget(this._registries);
      this._share(files.some(file => file.state !== 'absent'));
    }
    this._changes.emit();
  }

  /**
   * Give the registries a third of the height, or no more than their title.
   */
  private _share(open: boolean): void {
    const { content } = this;
    if (content instanceof AccordionPanel) {
      if (open) {
        content.setRelativeSizes([2, 1]);
      } else {
        content.collapse(content.widgets.indexOf(this._registries));
      }
    }
  }

  private _say(message: Outcome | null): void {
    this._message = message;
    this._changes.emit();
  }

  private _message: Outcome | null = null;
  private readonly _model: ICredentialsModel;
  private readonly _registries: Widget;
  private readonly _changes = new Signal<this, void>(this);
}

/**
 * The namespace of the panel's options.
 */
export namespace CredentialsPanel {
  /**
   * The age, in seconds, from which an answer is asked for again when the window gets the focus.
   */
  export const FRESH_SECONDS = 30;

  /**
   * What the panel is made of.
   */
  export interface IOptions {
    readonly commands: CommandRegistry;
    readonly model: ICredentialsModel;
    readonly translator: ITranslator;
  }
}
