/**
 * The top of the panel: the filter, the refresh button, the pod, the guard, and what a screen reader is told.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { InputGroup, refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { matches } from '../model';
import type { ICredentialsModel, IGuard, Outcome } from '../tokens';
import { GuardLine } from './guard';

/**
 * The top of the panel.
 */
export function Header(props: {
  model: ICredentialsModel;
  guard: IGuard | null;
  message: Outcome | null;
  onFilter: (filter: string) => void;
  onRefresh: () => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, guard, message, onFilter, onRefresh, trans } = props;
  const { filter, inventory, refreshing } = model;
  return (
    <div className="jp-KfSecrets-header">
      <div className="jp-KfSecrets-tools">
        <InputGroup
          type="search"
          rightIcon="ui-components:search"
          aria-label={trans.__('Filter credentials')}
          placeholder={trans.__('Filter')}
          spellCheck={false}
          value={filter}
          onChange={event => onFilter(event.target.value)}
          onKeyDown={event => {
            if (event.key === 'Escape' && filter) {
              event.stopPropagation();
              onFilter('');
            }
          }}
        />
        <button
          type="button"
          className="jp-KfSecrets-button"
          aria-label={trans.__('Refresh')}
          title={trans.__('Refresh')}
          aria-disabled={refreshing}
          onClick={refreshing ? undefined : onRefresh}
        >
          <refreshIcon.react tag="span" />
        </button>
      </div>
      {inventory?.pod && describePod(inventory.pod, trans)}
      {guard && <GuardLine guard={guard} trans={trans} />}
      <div role="status" className="jp-KfSecrets-hidden">
        {refreshing
          ? trans.__('Refreshing…')
          : message
            ? describeAction(message, trans)
            : describePhase(model, trans)}
      </div>
    </div>
  );
}

function describePod(
  pod: { namespace: string | null; name: string | null },
  trans: TranslationBundle
): JSX.Element | null {
  const { name, namespace } = pod;
  const text =
    name && namespace
      ? trans.__('Pod %1 in namespace %2', name, namespace)
      : name
        ? trans.__('Pod %1', name)
        : namespace
          ? trans.__('Namespace %1', namespace)
          : null;
  return text === null ? null : <p className="jp-KfSecrets-pod">{text}</p>;
}

function describeAction(action: Outcome, trans: TranslationBundle): string {
  return action === 'inserted'
    ? trans.__('Inserted the code')
    : trans.__('Copied the code to the clipboard');
}

function describePhase(
  model: ICredentialsModel,
  trans: TranslationBundle
): string {
  const { filter, inventory, phase } = model;
  switch (phase) {
    case 'loading':
      return '';
    case 'missing-server':
      return trans.__('The server extension is not enabled');
    case 'error':
      return trans.__('The credentials could not be listed');
    case 'ready': {
      const secrets = inventory?.secrets.secrets ?? [];
      const found = matches(secrets, filter).length;
      return filter.trim()
        ? trans._n(
            '%1 credential matches the filter',
            '%1 credentials match the filter',
            found,
            found
          )
        : trans._n(
            '%1 credential',
            '%1 credentials',
            secrets.length,
            secrets.length
          );
    }
  }
}
