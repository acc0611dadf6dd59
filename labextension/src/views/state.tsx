/**
 * The state of a credential, a key or a file, in a word and a sign.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { type LabIcon, checkIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { errorIcon, warningIcon } from '../icons';
import type { IRegistryFile, KeyState, SecretState } from '../request';

/**
 * Every state that the server reports.
 */
export type AnyState = SecretState | KeyState | IRegistryFile['state'];

/**
 * The state as a badge: the word says it, the sign and the colour repeat it.
 */
export function StateBadge(props: {
  state: AnyState;
  trans: TranslationBundle;
}): JSX.Element {
  const { state, trans } = props;
  const { icon: Icon, level } = SIGNS[state] ?? SIGNS.unreadable;
  return (
    <span className={`jp-KfSecrets-state jp-mod-${level}`}>
      {Icon && <Icon.react tag="span" className="jp-KfSecrets-sign" />}
      {describe(state, trans)}
    </span>
  );
}

const SIGNS: Record<
  AnyState,
  { icon: LabIcon | null; level: 'good' | 'warn' | 'bad' | 'none' }
> = {
  ready: { icon: checkIcon, level: 'good' },
  stale: { icon: warningIcon, level: 'warn' },
  empty: { icon: warningIcon, level: 'warn' },
  'too-large': { icon: warningIcon, level: 'warn' },
  unreadable: { icon: errorIcon, level: 'bad' },
  invalid: { icon: errorIcon, level: 'bad' },
  absent: { icon: null, level: 'none' }
};

function describe(state: AnyState, trans: TranslationBundle): string {
  switch (state) {
    case 'ready':
      return trans.__('Ready');
    case 'stale':
      return trans.__('Stale');
    case 'empty':
      return trans.__('Empty');
    case 'too-large':
      return trans.__('Too large');
    case 'unreadable':
      return trans.__('Unreadable');
    case 'invalid':
      return trans.__('Invalid');
    case 'absent':
      return trans.__('Absent');
    default:
      return state;
  }
}
