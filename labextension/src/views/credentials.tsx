/**
 * The list of credentials.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  caretDownIcon,
  caretRightIcon,
  infoIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';

import { type IMatch, matches } from '../model';
import type { IKey, IMount, ISecret } from '../request';
import { type IKeyQuery, keySnippet, printable } from '../snippet';
import type { ICredentialsModel, IInventory, IUnguarded } from '../tokens';
import { type IActions, SnippetButtons } from './actions';
import { describeUnguarded } from './guard';
import { Failure, MissingServer, NoMatch, Nothing, explain } from './messages';
import { StateBadge } from './state';

/**
 * The number of keys up to which a list starts unfolded.
 */
export const UNFOLDED_KEYS = 30;

/**
 * The list of credentials, or what there is to say instead.
 */
export function Credentials(props: {
  model: ICredentialsModel;
  /** What the current kernel does not look for in outputs. */
  unguarded: readonly IUnguarded[];
  actions: IActions<IKeyQuery>;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, unguarded, actions, trans } = props;
  const { error, filter, inventory, phase } = model;
  const retry = (): void => void model.refresh();
  if (phase === 'missing-server') {
    return <MissingServer onRetry={retry} trans={trans} />;
  }
  if (inventory === null) {
    return error ? (
      <Failure error={error} outdated={false} onRetry={retry} trans={trans} />
    ) : (
      <p className="jp-KfSecrets-message jp-KfSecrets-muted">
        {trans.__('Loading…')}
      </p>
    );
  }
  const { secrets, roots } = inventory.secrets;
  const found = matches(secrets, filter);
  const unfolded =
    secrets.reduce((sum, { keys }) => sum + keys.length, 0) <= UNFOLDED_KEYS;
  return (
    <>
      {error && (
        <Failure error={error} outdated onRetry={retry} trans={trans} />
      )}
      {secrets.length === 0 ? (
        <Nothing roots={roots} trans={trans} />
      ) : found.length === 0 ? (
        <NoMatch
          filter={filter}
          onClear={() => {
            model.filter = '';
          }}
          trans={trans}
        />
      ) : (
        <ul className="jp-KfSecrets-list" aria-label={trans.__('Credentials')}>
          {found.map(match => (
            <Credential
              key={match.secret.name}
              match={match}
              unguarded={unguarded}
              unfolded={unfolded}
              actions={actions}
              trans={trans}
            />
          ))}
        </ul>
      )}
      <Notes inventory={inventory} trans={trans} />
    </>
  );
}

function Credential(props: {
  match: IMatch;
  unguarded: readonly IUnguarded[];
  unfolded: boolean;
  actions: IActions<IKeyQuery>;
  trans: TranslationBundle;
}): JSX.Element {
  const { match, unguarded, unfolded, actions, trans } = props;
  const { secret, keys, byKey } = match;
  const [chosen, choose] = React.useState<boolean | null>(null);
  const open = byKey || (chosen ?? unfolded);
  const body = React.useId();
  const Caret = open ? caretDownIcon : caretRightIcon;
  const [first, ...others] = secret.mounts;
  return (
    <li className="jp-KfSecrets-credential">
      <div className="jp-KfSecrets-row">
        <button
          type="button"
          className="jp-KfSecrets-disclosure"
          aria-expanded={open}
          aria-controls={body}
          onClick={() => choose(!open)}
        >
          <Caret.react tag="span" className="jp-KfSecrets-caret" />
          <span className="jp-KfSecrets-name">{printable(secret.name)}</span>
        </button>
        <StateBadge state={secret.state} trans={trans} />
      </div>
      <div className="jp-KfSecrets-about">
        {first && <Place mount={first} trans={trans} />}
        <span className="jp-KfSecrets-origin">
          {secret.poddefault === null
            ? trans.__('PodDefault not known')
            : trans.__('PodDefault %1', secret.poddefault)}
        </span>
      </div>
      {secret.reason && <p className="jp-KfSecrets-reason">{secret.reason}</p>}
      <div id={body} hidden={!open}>
        {open && (
          <>
            <Others mounts={others} trans={trans} />
            <Keys
              secret={secret}
              keys={keys}
              unguarded={unguarded}
              actions={actions}
              trans={trans}
            />
          </>
        )}
      </div>
    </li>
  );
}

function Place(props: {
  mount: IMount;
  trans: TranslationBundle;
}): JSX.Element {
  const { mount, trans } = props;
  return (
    <span
      className={mount.path === null ? undefined : 'jp-KfSecrets-path'}
      title={mount.updated ? describeTime(mount.updated, trans) : undefined}
    >
      {mount.path === null
        ? trans.__('Environment variables')
        : printable(mount.path)}
    </span>
  );
}

function Others(props: {
  mounts: readonly IMount[];
  trans: TranslationBundle;
}): JSX.Element | null {
  const { mounts, trans } = props;
  if (mounts.length === 0) {
    return null;
  }
  return (
    <ul
      className="jp-KfSecrets-others"
      aria-label={trans.__('Also mounted at')}
    >
      {mounts.map((mount, index) => (
        <li key={index}>
          <div className="jp-KfSecrets-row">
            <Place mount={mount} trans={trans} />
            {mount.state !== 'ready' && (
              <StateBadge state={mount.state} trans={trans} />
            )}
          </div>
          {mount.reason && (
            <p className="jp-KfSecrets-reason">{mount.reason}</p>
          )}
        </li>
      ))}
    </ul>
  );
}

function Keys(props: {
  secret: ISecret;
  keys: readonly IKey[];
  unguarded: readonly IUnguarded[];
  actions: IActions<IKeyQuery>;
  trans: TranslationBundle;
}): JSX.Element {
  const { secret, keys, unguarded, actions, trans } = props;
  if (keys.length === 0) {
    return <p className="jp-KfSecrets-noKeys">{trans.__('No keys')}</p>;
  }
  return (
    <ul
      className="jp-KfSecrets-keys"
      aria-label={trans.__('Keys of %1', secret.name)}
    >
      {keys.map(key => (
        <Key
          key={`${key.name}\n${key.kind}\n${key.path ?? key.variable ?? ''}`}
          secret={secret.name}
          entry={key}
          unguarded={unguarded.find(
            each => each.secret === secret.name && each.key === key.name
          )}
          actions={actions}
          trans={trans}
        />
      ))}
    </ul>
  );
}

function Key(props: {
  secret: string;
  entry: IKey;
  unguarded: IUnguarded | undefined;
  actions: IActions<IKeyQuery>;
  trans: TranslationBundle;
}): JSX.Element {
  const { secret, entry, unguarded, actions, trans } = props;
  const name = printable(entry.name);
  const query = { name: secret, key: entry.name };
  const origin =
    entry.kind === 'environment'
      ? entry.variable !== null && entry.variable !== entry.name
        ? trans.__('environment variable %1', entry.variable)
        : trans.__('environment variable')
      : entry.kind === 'subPath'
        ? trans.__('single file (subPath)')
        : null;
  return (
    <li className="jp-KfSecrets-key">
      <div className="jp-KfSecrets-row">
        <span
          className="jp-KfSecrets-keyName"
          title={entry.updated ? describeTime(entry.updated, trans) : undefined}
        >
          {name}
        </span>
        <SnippetButtons
          query={query}
          expression={keySnippet(query).expression}
          labels={{
            insert: trans.__('Insert code for key %1 of %2', name, secret),
            copy: trans.__('Copy code for key %1 of %2', name, secret)
          }}
          actions={actions}
          trans={trans}
        />
        {entry.state !== 'ready' && (
          <StateBadge state={entry.state} trans={trans} />
        )}
      </div>
      {origin && <p className="jp-KfSecrets-muted">{origin}</p>}
      {entry.reason && <p className="jp-KfSecrets-reason">{entry.reason}</p>}
      {unguarded && (
        <p className="jp-KfSecrets-reason">
          {describeUnguarded(unguarded, trans)}
        </p>
      )}
    </li>
  );
}

function Notes(props: {
  inventory: IInventory;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { inventory, trans } = props;
  const notes = new Set([
    ...(inventory.pod?.notes ?? []),
    ...inventory.secrets.notes,
    ...inventory.failures.map(({ part, error }) =>
      part === 'pod'
        ? trans.__('The pod could not be described: %1', explain(error, trans))
        : trans.__(
            'The registries could not be listed: %1',
            explain(error, trans)
          )
    )
  ]);
  if (notes.size === 0) {
    return null;
  }
  return (
    <ul className="jp-KfSecrets-notes" aria-label={trans.__('Notes')}>
      {[...notes].map(note => (
        <li key={note}>
          <infoIcon.react tag="span" className="jp-KfSecrets-sign" />
          <span>{note}</span>
        </li>
      ))}
    </ul>
  );
}

function describeTime(time: string, trans: TranslationBundle): string {
  const date = new Date(time);
  return trans.__(
    'Updated %1',
    Number.isNaN(date.getTime())
      ? time
      : date.toLocaleString(undefined, {
          dateStyle: 'medium',
          timeStyle: 'medium'
        })
  );
}
