/**
 * The Docker configuration files, and the registries that each names.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { infoIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import type { IRegistry, IRegistryFile } from '../request';
import { printable } from '../snippet';
import type { ICredentialsModel } from '../tokens';
import { StateBadge } from './state';

/**
 * The list of Docker configuration files; nothing where the server lists none.
 */
export function Registries(props: {
  model: ICredentialsModel;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { model, trans } = props;
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
        {registries.files.map(file => (
          <File key={file.path} file={file} trans={trans} />
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

function File(props: {
  file: IRegistryFile;
  trans: TranslationBundle;
}): JSX.Element {
  const { file, trans } = props;
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
        {file.used && <span>{trans.__('in use')}</span>}
      </div>
      {file.reason && <p className="jp-KfSecrets-reason">{file.reason}</p>}
      {file.registries.length > 0 && (
        <ul
          className="jp-KfSecrets-keys"
          aria-label={trans.__('Registries of %1', file.path)}
        >
          {file.registries.map(registry => (
            <li key={registry.name} className="jp-KfSecrets-key">
              <div className="jp-KfSecrets-row">
                <span className="jp-KfSecrets-keyName">
                  {printable(registry.name)}
                </span>
              </div>
              <p className="jp-KfSecrets-muted">{describe(registry, trans)}</p>
              {registry.reason && (
                <p className="jp-KfSecrets-reason">{registry.reason}</p>
              )}
            </li>
          ))}
        </ul>
      )}
    </li>
  );
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
