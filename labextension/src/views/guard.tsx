/**
 * The guard of the current kernel: what it is, what it masked lately, what it does not look for.
 */
import type { TranslationBundle } from '@jupyterlab/translation';
import { checkIcon, type LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';

import { errorIcon, warningIcon } from '../icons';
import type { IRedaction } from '../request';
import { printable } from '../snippet';
import type { GuardState, IGuard, IUnguarded } from '../tokens';

/**
 * Whether the kernel is guarded, in a line, and what follows from it where it is not.
 */
export function GuardLine(props: {
  guard: IGuard;
  trans: TranslationBundle;
}): JSX.Element {
  const { guard, trans } = props;
  const { icon: Icon, level } = SIGNS[guard.state];
  const about = explain(guard, trans);
  return (
    <section className="jp-KfSecrets-guard" aria-label={trans.__('Guard')}>
      <p className={`jp-KfSecrets-state jp-mod-${level}`}>
        {Icon && <Icon.react tag="span" className="jp-KfSecrets-sign" />}
        <span>{describe(guard, trans)}</span>
      </p>
      <p className="jp-KfSecrets-muted">{printable(guard.document)}</p>
      {about.map(sentence => (
        <p key={sentence} className="jp-KfSecrets-reason">
          {sentence}
        </p>
      ))}
    </section>
  );
}

/**
 * What the guard masked lately, and what it does not look for.
 */
export function GuardDetails(props: {
  guard: IGuard;
  redaction: IRedaction | null;
  trans: TranslationBundle;
}): JSX.Element {
  const { guard, redaction, trans } = props;
  const words = new Map(
    redaction?.rules.map(({ rule, text }) => [rule, text] as const)
  );
  const say = (rule: string): string =>
    rule
      .split(', ')
      .map(part => words.get(part) ?? printable(part))
      .join(', ');
  return (
    <>
      <Facts
        title={trans.__('Masked lately')}
        facts={guard.masked.map(({ label, rule, count, last }) => ({
          name: label ? printable(label) : trans.__('Output replaced'),
          about: trans.__(
            '%1; last at %2',
            say(rule),
            last.toLocaleTimeString()
          ),
          count: trans._n('%1 time', '%1 times', count, count)
        }))}
      />
      <Facts
        title={trans.__('Not masked by value')}
        facts={listed(guard).map(each => ({
          name: printable(`${each.secret}/${each.key}`),
          about: describeUnguarded(each, trans)
        }))}
      />
    </>
  );
}

function Facts(props: {
  title: string;
  facts: readonly { name: string; about: string; count?: string }[];
}): JSX.Element | null {
  const { title, facts } = props;
  const id = React.useId();
  return facts.length === 0 ? null : (
    <>
      <h4 id={id} className="jp-KfSecrets-heading">
        {title}
      </h4>
      <ul className="jp-KfSecrets-facts" aria-labelledby={id}>
        {facts.map(({ name, about, count }, index) => (
          <li key={index}>
            <div className="jp-KfSecrets-row">
              <span className="jp-KfSecrets-keyName">{name}</span>
              {count && <span className="jp-KfSecrets-count">{count}</span>}
            </div>
            <p className="jp-KfSecrets-muted">{about}</p>
          </li>
        ))}
      </ul>
    </>
  );
}

/**
 * The keys that a user may want masked and that are not: nobody meant those to be public.
 */
export function listed({ unguarded }: IGuard): readonly IUnguarded[] {
  return unguarded.filter(({ reason }) => reason !== 'public');
}

/**
 * Why a key is not masked by value.
 */
export function describeUnguarded(
  { reason }: IUnguarded,
  trans: TranslationBundle
): string {
  switch (reason) {
    case 'short':
      return trans.__('Too short to be masked in outputs');
    case 'common':
      return trans.__('Too common to be masked in outputs');
    case 'public':
      return trans.__('Public, and not masked in outputs');
  }
}

const SIGNS: Record<
  GuardState,
  { icon: LabIcon | null; level: 'good' | 'warn' | 'bad' | 'none' }
> = {
  on: { icon: checkIcon, level: 'good' },
  off: { icon: warningIcon, level: 'warn' },
  failed: { icon: errorIcon, level: 'bad' },
  unguarded: { icon: warningIcon, level: 'warn' },
  silent: { icon: null, level: 'none' }
};

function describe({ state }: IGuard, trans: TranslationBundle): string {
  switch (state) {
    case 'on':
      return trans.__('Guard on: values are masked');
    case 'off':
      return trans.__('Guard off by the administrator');
    case 'failed':
      return trans.__('Guard failed');
    case 'unguarded':
      return trans.__('This kernel is not guarded');
    case 'silent':
      return trans.__('The kernel has not answered yet');
  }
}

function explain(
  { state, reason, language }: IGuard,
  trans: TranslationBundle
): string[] {
  const given = reason === null ? [] : [printable(reason)];
  switch (state) {
    case 'off':
      return [...given, stays(trans)];
    case 'failed':
      return reason === null
        ? [trans.__('Outputs are replaced. Restart the kernel.')]
        : given;
    case 'unguarded':
      return [
        language === 'python'
          ? trans.__('kfsecrets_ext is not in its environment.')
          : trans.__('Only Python kernels are.'),
        stays(trans)
      ];
    case 'on':
      return given;
    default:
      return [];
  }
}

function stays(trans: TranslationBundle): string {
  return trans.__('What a cell prints of a value stays in the notebook.');
}
