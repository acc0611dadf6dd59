/**
 * The plugins, one a feature; each can be disabled by its ID.
 */
import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IConsoleTracker } from '@jupyterlab/console';
import { IEditorTracker } from '@jupyterlab/fileeditor';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { addCommands } from './commands';
import { GuardModel } from './guard';
import { keyIcon } from './icons';
import { CredentialsModel } from './model';
import { CredentialsPanel } from './panel';
import { CommandIDs, ICredentialsModel, IGuardModel } from './tokens';

export * from './tokens';

const DOMAIN = 'kfsecrets_ext';

const model: JupyterFrontEndPlugin<ICredentialsModel> = {
  id: 'kfsecrets-ext:model',
  description: 'Knows the credentials that are mounted in this notebook.',
  autoStart: true,
  provides: ICredentialsModel,
  activate: (app: JupyterFrontEnd): ICredentialsModel =>
    new CredentialsModel(app.serviceManager.serverSettings)
};

const guard: JupyterFrontEndPlugin<IGuardModel> = {
  id: 'kfsecrets-ext:guard',
  description: 'Knows whether the kernels that are open are guarded.',
  autoStart: true,
  provides: IGuardModel,
  optional: [INotebookTracker, IConsoleTracker],
  activate: (
    _app: JupyterFrontEnd,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null
  ): IGuardModel => new GuardModel({ notebooks, consoles })
};

const commands: JupyterFrontEndPlugin<void> = {
  id: 'kfsecrets-ext:commands',
  description: 'Refreshes the credentials; inserts and copies their snippets.',
  autoStart: true,
  requires: [ICredentialsModel],
  optional: [INotebookTracker, IConsoleTracker, IEditorTracker, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    credentials: ICredentialsModel,
    notebooks: INotebookTracker | null,
    consoles: IConsoleTracker | null,
    editors: IEditorTracker | null,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    addCommands(app, credentials, { notebooks, consoles, editors }, trans);
  }
};

const palette: JupyterFrontEndPlugin<void> = {
  id: 'kfsecrets-ext:palette',
  description: 'Puts the commands into the command palette.',
  autoStart: true,
  requires: [ICommandPalette],
  optional: [ITranslator],
  activate: (
    _app: JupyterFrontEnd,
    commandPalette: ICommandPalette,
    translator: ITranslator | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const category = trans.__('Credentials');
    for (const command of [CommandIDs.open, CommandIDs.refresh]) {
      commandPalette.addItem({ command, category });
    }
  }
};

const panel: JupyterFrontEndPlugin<void> = {
  id: 'kfsecrets-ext:plugin',
  description: 'Shows the credentials in a side panel.',
  autoStart: true,
  requires: [ICredentialsModel],
  optional: [ILayoutRestorer, ISettingRegistry, ITranslator, IGuardModel],
  activate: (
    app: JupyterFrontEnd,
    credentials: ICredentialsModel,
    restorer: ILayoutRestorer | null,
    settings: ISettingRegistry | null,
    translator: ITranslator | null,
    guards: IGuardModel | null
  ): void => {
    const trans = (translator ?? nullTranslator).load(DOMAIN);
    const widget = new CredentialsPanel({
      commands: app.commands,
      model: credentials,
      guards,
      translator: translator ?? nullTranslator
    });
    const place = (side: string): void => {
      app.shell.add(widget, side, { rank: 450, type: 'Credentials' });
    };

    place('left');
    restorer?.add(widget, widget.id);

    app.commands.addCommand(CommandIDs.open, {
      label: trans.__('Show Credentials'),
      caption: trans.__('Show the credentials mounted in this notebook'),
      icon: keyIcon,
      describedBy: { args: { type: 'object', properties: {} } },
      execute: () => {
        app.shell.activateById(widget.id);
      }
    });

    if (settings) {
      void followSide(settings, place);
    }
  }
};

/**
 * Put the panel where the settings say, now and whenever they change.
 */
async function followSide(
  registry: ISettingRegistry,
  place: (side: string) => void
): Promise<void> {
  let side = 'left';
  const settings = await registry.load(panel.id);
  const follow = (): void => {
    const wanted =
      settings.get('side').composite === 'right' ? 'right' : 'left';
    if (wanted !== side) {
      side = wanted;
      place(side);
    }
  };
  follow();
  settings.changed.connect(follow);
}

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  model,
  guard,
  commands,
  palette,
  panel
];

export default plugins;
