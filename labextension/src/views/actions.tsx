/**
 * The buttons that insert and copy code.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  checkIcon,
  codeIcon,
  copyIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';

import type { Outcome } from '../tokens';

/**
 * What a user can do with the snippet of something; resolves to what was done in the end.
 */
export type Action<T> = (query: T) => Promise<Outcome>;

/**
 * The actions that there are; `null` where the commands are disabled.
 */
export interface IActions<T> {
  insert(): Action<T> | null;
  copy(): Action<T> | null;
}

/**
 * The buttons that insert and copy a snippet, where there are such actions.
 */
export function SnippetButtons<T>(props: {
  /** What the actions are told. */
  query: T;
  /** The code that the user gets. */
  expression: string;
  labels: { readonly insert: string; readonly copy: string };
  actions: IActions<T>;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { query, expression, labels, actions, trans } = props;
  const insert = actions.insert();
  const copy = actions.copy();
  if (!insert && !copy) {
    return null;
  }
  return (
    <span className="jp-KfSecrets-actions">
      {insert && (
        <ActionButton
          icon={codeIcon}
          label={labels.insert}
          title={trans.__('Insert %1', expression)}
          run={() => insert(query)}
        />
      )}
      {copy && (
        <ActionButton
          icon={copyIcon}
          label={labels.copy}
          title={trans.__('Copy %1', expression)}
          run={() => copy(query)}
        />
      )}
    </span>
  );
}

/**
 * A button that shows for a moment that it did what it says.
 */
function ActionButton(props: {
  icon: LabIcon;
  label: string;
  title: string;
  run: () => Promise<unknown>;
}): JSX.Element {
  const { icon, label, title, run } = props;
  const [done, setDone] = React.useState(false);
  React.useEffect(() => {
    if (!done) {
      return undefined;
    }
    const timer = window.setTimeout(() => setDone(false), 1500);
    return () => window.clearTimeout(timer);
  }, [done]);
  const Icon = done ? checkIcon : icon;
  return (
    <button
      type="button"
      className="jp-KfSecrets-button"
      aria-label={label}
      title={title}
      onClick={() => void run().then(() => setDone(true))}
    >
      <Icon.react tag="span" />
    </button>
  );
}
