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
import {
  CommandIDs,
  type ICredentialsModel,
  type IGuardModel,
  type IUnguarded,
  type Outcome
} from './tokens';
import type { IActions } from './views/actions';
import { Credentials } from './views/credentials';
import { GuardDetails, listed } from './views/guard';
import { Header } from './views/header';
import { Registries } from './views/registries';

const NONE: readonly IUnguarded[] = [];

/**
 * The credentials of this notebook, in a side bar of JupyterLab or Notebook.
 *
 * It asks the server when it is shown, when the user says so, and when the user comes back to the
 * window after a while; never on a timer.
 */
export class CredentialsPanel extends SidePanel {
  constructor(options: CredentialsPanel.IOptions) {
    super({ header: new Panel(), translator: options.translator });
    const { commands, guards, model, translator } = options;
    const trans = translator.load('kfsecrets_ext');
    this._model = model;
    this._guards = guards;

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
      <UseSignal signal={this._guardChanges}>
        {() => (
          <Header
            model={model}
            guard={guards?.current ?? null}
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
        {() => (
          <Credentials
            model={model}
            unguarded={this._unguarded}
            actions={ofKeys}
            trans={trans}
          />
        )}
      </UseSignal>
    );
    credentials.addClass('jp-KfSecrets-section');
    credentials.title.label = trans.__('Secrets');
    this.addWidget(credentials);

    this._guard = ReactWidget.create(
      <UseSignal signal={this._guardChanges}>
        {() =>
          guards?.current ? (
            <GuardDetails
              guard={guards.current}
              redaction={model.inventory?.redaction ?? null}
              trans={trans}
            />
          ) : null
        }
      </UseSignal>
    );
    this._guard.addClass('jp-KfSecrets-section');
    this._guard.node.tabIndex = 0;
    this._guard.title.label = trans.__('Guard');

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
    guards?.changed.connect(this._onGuardChanged, this);
    this._onGuardChanged();
    window.addEventListener('focus', this);
  }

  override dispose(): void {
    if (this.isDisposed) {
      return;
    }
    window.removeEventListener('focus', this);
    Signal.clearData(this);
    this._guard.dispose();
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
    this._place(
      this._registries,
      files.length > 0,
      files.some(file => file.state !== 'absent')
    );
    this._changes.emit();
    this._guardChanges.emit();
  }

  private _onGuardChanged(): void {
    const guard = this._guards?.current;
    const unguarded = guard?.unguarded ?? NONE;
    const some = guard ? listed(guard).length + guard.masked.length > 0 : false;
    this._place(this._guard, some, true);
    // The list of credentials may be long, and what was masked changes often.
    if (unguarded !== this._unguarded) {
      this._unguarded = unguarded;
      this._changes.emit();
    }
    this._guardChanges.emit();
  }

  /**
   * Show a section below the credentials, or none; where it comes closed, it is only its title.
   */
  private _place(section: Widget, wanted: boolean, open: boolean): void {
    if (!wanted) {
      section.parent = null;
    } else if (section.parent === null) {
      const { content } = this;
      if (section === this._guard) {
        this.insertWidget(1, section);
      } else {
        this.addWidget(section);
      }
      if (content instanceof AccordionPanel) {
        if (open) {
          content.setRelativeSizes(
            content.widgets.map((_, index) => (index === 0 ? 2 : 1))
          );
        } else {
          content.collapse(content.widgets.indexOf(section));
        }
      }
    }
  }

  private _say(message: Outcome | null): void {
    this._message = message;
    this._guardChanges.emit();
  }

  private _message: Outcome | null = null;
  private readonly _model: ICredentialsModel;
  private _unguarded: readonly IUnguarded[] = NONE;
  private readonly _guards: IGuardModel | null;
  private readonly _guard: Widget;
  private readonly _registries: Widget;
  // What the credentials are drawn from, and what the rest is.
  private readonly _changes = new Signal<this, void>(this);
  private readonly _guardChanges = new Signal<this, void>(this);
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
    readonly guards: IGuardModel | null;
    readonly model: ICredentialsModel;
    readonly translator: ITranslator;
  }
}
