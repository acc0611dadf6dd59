/**
 * The commands that work on the credentials model and on what the user writes.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { codeIcon, copyIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type {
  ReadonlyJSONObject,
  ReadonlyPartialJSONObject
} from '@lumino/coreutils';

import { type ITrackers, type Obstacle, findTarget, insert } from './insert';
import { type ISnippet, keySnippet, registrySnippet } from './snippet';
import { CommandIDs, type ICredentialsModel, type Outcome } from './tokens';

/**
 * Add the commands.
 */
export function addCommands(
  app: JupyterFrontEnd,
  model: ICredentialsModel,
  trackers: ITrackers,
  trans: TranslationBundle
): void {
  const { commands, shell } = app;

  commands.addCommand(CommandIDs.refresh, {
    label: trans.__('Refresh Credentials'),
    caption: trans.__('Ask the server which credentials are mounted'),
    icon: refreshIcon,
    describedBy: { args: { type: 'object', properties: {} } },
    execute: () => model.refresh()
  });

  const insertOrCopy = (snippet: ISnippet): Outcome => {
    const target = findTarget(shell, trackers);
    if (typeof target !== 'string') {
      insert(target, snippet);
      return 'inserted';
    }
    Clipboard.copyToSystem(snippet.expression);
    Notification.info(explain(target, trans), { autoClose: 5000 });
    return 'copied';
  };
  const copy = (snippet: ISnippet): Outcome => {
    Clipboard.copyToSystem(snippet.expression);
    return 'copied';
  };

  commands.addCommand(CommandIDs.insertSnippet, {
    label: trans.__('Insert Code That Reads the Credential'),
    caption: trans.__('Insert the code where you write'),
    icon: codeIcon,
    ...take(ofKey(trans), insertOrCopy)
  });

  commands.addCommand(CommandIDs.copySnippet, {
    label: trans.__('Copy Code That Reads the Credential'),
    caption: trans.__('Copy the code to the clipboard'),
    icon: copyIcon,
    ...take(ofKey(trans), copy)
  });

  commands.addCommand(CommandIDs.insertRegistry, {
    label: trans.__('Insert Code That Gets the Credentials for the Registry'),
    caption: trans.__('Insert the code where you write'),
    icon: codeIcon,
    ...take(ofRegistry(trans), insertOrCopy)
  });

  commands.addCommand(CommandIDs.copyRegistry, {
    label: trans.__('Copy Code That Gets the Credentials for the Registry'),
    caption: trans.__('Copy the code to the clipboard'),
    icon: copyIcon,
    ...take(ofRegistry(trans), copy)
  });
}

/**
 * The arguments that stand for a snippet.
 */
interface IArguments {
  readonly schema: ReadonlyJSONObject;

  /**
   * The snippet; `null` where the arguments are not as the schema says.
   */
  readonly read: (args: ReadonlyPartialJSONObject) => ISnippet | null;
}

/**
 * The part of a command that takes a snippet's arguments and does something with the snippet.
 */
function take(
  { schema, read }: IArguments,
  act: (snippet: ISnippet) => Outcome
): Pick<
  CommandRegistry.ICommandOptions,
  'describedBy' | 'isEnabled' | 'execute'
> {
  return {
    describedBy: { args: schema },
    isEnabled: args => read(args) !== null,
    execute: args => {
      const snippet = read(args);
      if (snippet === null) {
        throw new TypeError('The arguments are not those of the command.');
      }
      return act(snippet);
    }
  };
}

function ofKey(trans: TranslationBundle): IArguments {
  return {
    schema: {
      type: 'object',
      properties: {
        name: {
          type: 'string',
          description: trans.__('The name of the secret')
        },
        key: { type: 'string', description: trans.__('The name of the key') }
      },
      required: ['name', 'key']
    },
    read: ({ name, key }) =>
      typeof name === 'string' && typeof key === 'string'
        ? keySnippet({ name, key })
        : null
  };
}

function ofRegistry(trans: TranslationBundle): IArguments {
  return {
    schema: {
      type: 'object',
      properties: {
        registry: {
          type: 'string',
          description: trans.__('The registry, an image or a URL')
        },
        helpers: {
          type: 'boolean',
          description: trans.__('Whether credential helpers are run'),
          default: false
        }
      },
      required: ['registry']
    },
    read: ({ registry, helpers = false }) =>
      typeof registry === 'string' && typeof helpers === 'boolean'
        ? registrySnippet({ registry, helpers })
        : null
  };
}

function explain(obstacle: Obstacle, trans: TranslationBundle): string {
  switch (obstacle) {
    case 'read-only':
      return trans.__(
        'The code was copied to the clipboard: what is open here is read-only.'
      );
    case 'not-code':
      return trans.__(
        'The code was copied to the clipboard: the active cell is not a code cell.'
      );
    case 'not-python':
      return trans.__(
        'The code was copied to the clipboard: what is open here is not Python.'
      );
    case 'no-editor':
      return trans.__(
        'The code was copied to the clipboard: no notebook, console or file is active.'
      );
  }
}
