/**
 * The Python that gets a credential, whatever its name, and where its import goes.
 */

/**
 * An expression, and what it needs.
 */
export interface ISnippet {
  readonly expression: string;

  /**
   * The name that has to be imported from `kfsecrets_ext`, once in a notebook or file.
   */
  readonly imports: string;
}

/**
 * A key of a secret.
 */
export interface IKeyQuery {
  readonly name: string;
  readonly key: string;
}

/**
 * A registry, and whether it is a credential helper that has to be run for it.
 */
export interface IRegistryQuery {
  readonly registry: string;
  readonly helpers: boolean;
}

/**
 * A change of a text: what to put where.
 */
export interface IInsertion {
  readonly offset: number;
  readonly text: string;
}

/**
 * The snippet that reads a key.
 */
export function keySnippet({ name, key }: IKeyQuery): ISnippet {
  return {
    expression: `get_secret(${pythonString(name)}, ${pythonString(key)})`,
    imports: 'get_secret'
  };
}

/**
 * The snippet that gets the credentials for a registry.
 */
export function registrySnippet(query: IRegistryQuery): ISnippet {
  const registry = pythonString(query.registry);
  const rest = query.helpers ? ', helpers=True' : '';
  return {
    expression: `get_docker_credentials(${registry}${rest})`,
    imports: 'get_docker_credentials'
  };
}

/**
 * The line that imports a name.
 */
export function importLine(name: string): string {
  return `from kfsecrets_ext import ${name}`;
}

/**
 * A Python string literal of any text.
 *
 * JSON's escapes mean the same in Python. What no font shows, or what some reader of lines takes
 * for the end of one, is escaped too: U+2028 and the C1 controls (IPython splits cells at them, so
 * the rest of a name could become a magic), bidirectional controls, lone surrogates.
 */
export function pythonString(text: string): string {
  return JSON.stringify(text).replace(INVISIBLE, escapeCodePoint);
}

/**
 * A name as it can be shown: itself, or as a Python literal where part of it could not be seen.
 */
export function printable(text: string): string {
  return text === '' || text.search(INVISIBLE) >= 0 ? pythonString(text) : text;
}

/**
 * Whether one of these cells, or this file, imports a name at its top level.
 */
export function hasImport(sources: Iterable<string>, name: string): boolean {
  for (const source of sources) {
    for (const match of source.matchAll(FROM_IMPORT)) {
      const names = (match[1] ?? '')
        .replace(/#.*$|[()\\]/gm, ' ')
        .split(',')
        .map(each => each.trim());
      if (names.some(each => each === name || each === '*')) {
        return true;
      }
    }
  }
  return false;
}

/**
 * The line that imports a name, and the place of a cell or file where it may stand.
 *
 * That is the top, but for what must come before any other statement: a cell magic, the comments
 * that start a file, its docstring, and imports from `__future__`.
 */
export function importInsertion(source: string, name: string): IInsertion {
  const offset = HEAD.exec(source)?.[0].length ?? 0;
  const starts = offset === 0 || source[offset - 1] === '\n';
  return {
    offset,
    text: `${starts ? '' : '\n'}${importLine(name)}\n`
  };
}

// Other (control, format, surrogate, private, unassigned), line and paragraph separators, and every
// space but the plain one.
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;

const FROM_IMPORT =
  /^from[ \t]+kfsecrets_ext[ \t]+import[ \t]*(\([^)]*\)|(?:[^\n\\]|\\\r?\n)*)/gm;

// Comments and blank lines count only before a docstring or a `__future__` import, or as the
// first lines of a script.
const HEAD = new RegExp(
  [
    '^(?:%%[^\\n]*(?:\\n|$))?',
    '(?:#!(?:[^\\n]*)(?:\\n|$))?',
    '(?:#[^\\n]*coding[:=][^\\n]*(?:\\n|$))?',
    '(?:(?:[ \\t]*(?:#[^\\n]*)?\\n)*',
    '[rRuU]?(?:"""[^]*?"""|\'\'\'[^]*?\'\'\')[ \\t]*(?:\\n|$))?',
    '(?:(?:[ \\t]*(?:#[^\\n]*)?\\n)*',
    'from[ \\t]+__future__[ \\t]+import[ \\t]*(?:\\([^)]*\\)[^\\n]*|[^\\n]*)(?:\\n|$))*'
  ].join('')
);

function escapeCodePoint(text: string): string {
  const code = text.codePointAt(0) ?? 0;
  return code > 0xffff
    ? `\\U${code.toString(16).padStart(8, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`;
}
