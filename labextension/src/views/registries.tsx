/**
 * The Docker configuration files, and the registries that each names.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { infoIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { IRegistry, IRegistryFile } from '../request';
import { type IRegistryQuery, printable, registrySnippet } from '../snippet';
import type { ICredentialsModel } from '../tokens';
import { type IActions, SnippetButtons } from './actions';
import { StateBadge } from './state';

/**
 * The list of Docker configuration files; nothing where the server lists none.
 */
export function Registries(props: {
  model: ICredentialsModel;
  actions: IActions<IRegistryQuery>;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { model, actions, trans } = props;
  const registries = model.inventory?.registries;
  if (!registries) {
    return null;
  }
  return (
    <>
      <ul
        className="jp-KfSecrets-list"
        aria-label={trans.__('Docker configuration files')}
      >
        {registries.files.map((file, index) => (
          <File
            key={file.path}
            file={file}
            earlier={registries.files.slice(0, index)}
            actions={actions}
            trans={trans}
          />
        ))}
      </ul>
      {registries.notes.length > 0 && (
        <ul className="jp-KfSecrets-notes" aria-label={trans.__('Notes')}>
          {registries.notes.map(note => (
            <li key={note}>
              <infoIcon.react tag="span" className="jp-KfSecrets-sign" />
              <span>{note}</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

// A wildcard stands for registries, and is none; white space cannot be asked for.
const REGISTRY = /^[^*\s\p{Cc}]+$/u;

function File(props: {
  file: IRegistryFile;
  earlier: readonly IRegistryFile[];
  actions: IActions<IRegistryQuery>;
  trans: TranslationBundle;
}): JSX.Element {
  const { file, earlier, actions, trans } = props;
  return (
    <li className="jp-KfSecrets-file">
      <div className="jp-KfSecrets-row">
        <span className="jp-KfSecrets-path jp-KfSecrets-name">
          {printable(file.path)}
        </span>
        <StateBadge state={file.state} trans={trans} />
      </div>
      <div className="jp-KfSecrets-about">
        <span>{file.origin}</span>
        {file.used && <strong>{trans.__('in use')}</strong>}
      </div>
      {file.reason && <p className="jp-KfSecrets-reason">{file.reason}</p>}
      {file.registries.length > 0 && (
        <ul
          className="jp-KfSecrets-keys"
          aria-label={trans.__('Registries of %1', file.path)}
        >
          {file.registries.map(registry => (
            <Registry
              key={registry.name}
              registry={registry}
              earlier={earlier}
              actions={actions}
              trans={trans}
            />
          ))}
        </ul>
      )}
    </li>
  );
}

function Registry(props: {
  registry: IRegistry;
  earlier: readonly IRegistryFile[];
  actions: IActions<IRegistryQuery>;
  trans: TranslationBundle;
}): JSX.Element {
  const { registry, earlier, actions, trans } = props;
  const name = printable(registry.name);
  const before = precedence(registry.name, earlier);
  const query = before?.answers ? null : queryFor(registry);
  return (
    <li className="jp-KfSecrets-key">
      <div className="jp-KfSecrets-row">
        <span className="jp-KfSecrets-keyName">{name}</span>
        {query && (
          <SnippetButtons
            query={query}
            expression={registrySnippet(query).expression}
            labels={{
              insert: trans.__('Insert code for registry %1', name),
              copy: trans.__('Copy code for registry %1', name)
            }}
            actions={actions}
            trans={trans}
          />
        )}
      </div>
      <p className="jp-KfSecrets-muted">{describe(registry, trans)}</p>
      {before && (
        <p className="jp-KfSecrets-reason">
          {before.answers
            ? trans.__('Not used: %1 comes first', printable(before.path))
            : trans.__(
                'Used only where %1 has no answer',
                printable(before.path)
              )}
        </p>
      )}
      {registry.reason && (
        <p className="jp-KfSecrets-reason">{registry.reason}</p>
      )}
    </li>
  );
}

/**
 * What to ask for to get the credentials of an entry; `null` where nothing gets them.
 */
function queryFor({ name, kind }: IRegistry): IRegistryQuery | null {
  const usable = kind === 'static' || kind === 'token' || kind === 'helper';
  return usable && REGISTRY.test(name)
    ? { registry: name, helpers: kind === 'helper' }
    : null;
}

/**
 * The earlier file that has a say on a registry before this one; `null` where none has.
 *
 * An entry with credentials answers, and a broken one is an error. A helper may know nothing, and
 * is not run unless that is asked for. An entry without credentials leaves it to the next file.
 */
function precedence(
  name: string,
  earlier: readonly IRegistryFile[]
): { readonly path: string; readonly answers: boolean } | null {
  const having = (...kinds: readonly IRegistry['kind'][]) =>
    earlier.find(({ registries }) =>
      registries.some(
        each =>
          canonical(each.name) === canonical(name) && kinds.includes(each.kind)
      )
    );
  const answering = having('static', 'token', 'invalid');
  const file = answering ?? having('helper');
  return file ? { path: file.path, answers: file === answering } : null;
}

// The hosts that are Docker Hub.
const HUB = /^(?:index[.]|registry-1[.])?docker[.]io$/;

/**
 * The host and the path that an entry is for: with a scheme or without, and under whichever of
 * Docker Hub's names, it is the same.
 */
function canonical(name: string): string {
  const [host = '', ...path] = name
    .replace(/^[a-z][a-z0-9+.-]*:[/][/]/i, '')
    .replace(/[?#].*$/s, '')
    .split('/')
    .filter((part, index) => part || index === 0);
  if (path[0] === 'v1' || path[0] === 'v2') {
    path.shift();
  }
  return [HUB.test(host) ? 'docker.io' : host, ...path].join('/');
}

function describe(registry: IRegistry, trans: TranslationBundle): string {
  switch (registry.kind) {
    case 'static':
      return trans.__('user name and password');
    case 'token':
      return trans.__('token');
    case 'helper':
      return registry.helper
        ? trans.__('credential helper docker-credential-%1', registry.helper)
        : trans.__('credential helper');
    case 'empty':
      return trans.__('no credentials');
    case 'invalid':
      return trans.__('invalid entry');
    default:
      return registry.kind;
  }
}
