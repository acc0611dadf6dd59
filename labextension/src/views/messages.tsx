/**
 * What the panel says when there is no list to show, or a list with a flaw.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import * as React from 'react';

import { errorIcon } from '../icons';
import { RequestFailed, ServerUnreachable, UnexpectedAnswer } from '../request';

/**
 * The last request failed.
 */
export function Failure(props: {
  error: Error;
  /** Whether an older list is shown below. */
  outdated: boolean;
  onRetry: () => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { error, outdated, onRetry, trans } = props;
  return (
    <div className="jp-KfSecrets-message jp-mod-error" role="alert">
      <h4>
        <errorIcon.react tag="span" className="jp-KfSecrets-sign" />
        {trans.__('The credentials could not be listed')}
      </h4>
      <p>{explain(error, trans)}</p>
      {outdated && <p>{trans.__('The list below may be out of date.')}</p>}
      <Retry onRetry={onRetry} trans={trans} />
    </div>
  );
}

/**
 * The server extension is not enabled.
 */
export function MissingServer(props: {
  onRetry: () => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { onRetry, trans } = props;
  return (
    <div className="jp-KfSecrets-message">
      <h4>{trans.__('The server extension is not enabled')}</h4>
      <p>
        {trans.__(
          'This panel asks the server extension kfsecrets_ext, which this Jupyter server does not have.'
        )}
      </p>
      <p>{trans.__('In a terminal, see whether it is listed and valid:')}</p>
      <pre tabIndex={0}>{LIST_COMMAND}</pre>
      <p>{trans.__('Enable it, then restart the notebook server:')}</p>
      <pre tabIndex={0}>{ENABLE_COMMAND}</pre>
      <Retry onRetry={onRetry} trans={trans} />
    </div>
  );
}

/**
 * There are no credentials.
 */
export function Nothing(props: {
  roots: readonly string[];
  trans: TranslationBundle;
}): JSX.Element {
  const { roots, trans } = props;
  return (
    <div className="jp-KfSecrets-message">
      <h4>{trans.__('No credentials are mounted here')}</h4>
      <p>
        {trans.__(
          'An administrator grants a credential: a Secret, and a PodDefault that mounts it, in your namespace.'
        )}
      </p>
      <p>
        {trans.__(
          'Choose the PodDefault under “Configurations” when you create a notebook. It mounts nothing in a notebook that is running already.'
        )}
      </p>
      {roots.length > 0 && (
        <p className="jp-KfSecrets-muted">
          {trans.__('Looked in %1', roots.join(', '))}
        </p>
      )}
    </div>
  );
}

/**
 * There are credentials, but none that matches the filter.
 */
export function NoMatch(props: {
  filter: string;
  onClear: () => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { filter, onClear, trans } = props;
  return (
    <div className="jp-KfSecrets-message">
      <p>{trans.__('No credential matches “%1”.', filter.trim())}</p>
      <button
        type="button"
        className="jp-KfSecrets-textButton"
        onClick={onClear}
      >
        {trans.__('Clear the filter')}
      </button>
    </div>
  );
}

/**
 * One sentence on why a request failed.
 */
export function explain(error: Error, trans: TranslationBundle): string {
  if (error instanceof ServerUnreachable) {
    return trans.__(
      'The Jupyter server could not be reached. Is it still running?'
    );
  }
  if (error instanceof UnexpectedAnswer) {
    return trans.__(
      'The answer did not come from the server extension. Your session may have ended: reload the page.'
    );
  }
  if (error instanceof RequestFailed) {
    if (error.status === 401 || error.status === 403) {
      return trans.__(
        'The server refused (HTTP %1). Your session may have ended: reload the page.',
        error.status
      );
    }
    return error.detail
      ? trans.__('%1 (HTTP %2)', error.detail, error.status)
      : trans.__('The server answered HTTP %1.', error.status);
  }
  return error.message;
}

const LIST_COMMAND = 'jupyter server extension list';
const ENABLE_COMMAND = 'jupyter server extension enable kfsecrets_ext';

function Retry(props: {
  onRetry: () => void;
  trans: TranslationBundle;
}): JSX.Element {
  return (
    <button
      type="button"
      className="jp-KfSecrets-textButton"
      onClick={props.onRetry}
    >
      {props.trans.__('Retry')}
    </button>
  );
}
