/**
 * The commands that work on the credentials model and on what the user writes.
 */
import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard, Notification } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { codeIcon, copyIcon, refreshIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { type ITrackers, type Obstacle, findTarget, insert } from './insert';
import { snippet } from './snippet';
import { CommandIDs, type ICredentialsModel } from './tokens';

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

  commands.addCommand(CommandIDs.insertSnippet, {
    label: trans.__('Insert Code That Reads the Credential'),
    caption: trans.__('Insert the code where you write'),
    icon: codeIcon,
    describedBy: { args: describeKey(trans) },
    isEnabled: args => readKey(args) !== null,
    execute: args => {
      const expression = expressionOf(args);
      const target = findTarget(shell, trackers);
      if (typeof target !== 'string') {
        insert(target, expression);
        return 'inserted';
      }
      Clipboard.copyToSystem(expression);
      Notification.info(explain(target, trans), { autoClose: 5000 });
      return 'copied';
    }
  });

  commands.addCommand(CommandIDs.copySnippet, {
    label: trans.__('Copy Code That Reads the Credential'),
    caption: trans.__('Copy the code to the clipboard'),
    icon: copyIcon,
    describedBy: { args: describeKey(trans) },
    isEnabled: args => readKey(args) !== null,
    execute: args => {
      Clipboard.copyToSystem(expressionOf(args));
      return 'copied';
    }
  });
}

function describeKey(trans: TranslationBundle) {
  return {
    type: 'object',
    properties: {
      name: { type: 'string', description: trans.__('The name of the secret') },
      key: { type: 'string', description: trans.__('The name of the key') }
    },
    required: ['name', 'key']
  };
}

function readKey(
  args: ReadonlyPartialJSONObject
): { name: string; key: string } | null {
  const { name, key } = args;
  return typeof name === 'string' && typeof key === 'string'
    ? { name, key }
    : null;
}

function expressionOf(args: ReadonlyPartialJSONObject): string {
  const read = readKey(args);
  if (read === null) {
    throw new TypeError('The arguments "name" and "key" are needed.');
  }
  return snippet(read.name, read.key);
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
