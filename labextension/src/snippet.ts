/**
 * The Python that reads a key, for any key name, and where its import goes.
 */

/**
 * The line that a snippet needs once in a notebook or file.
 */
export const IMPORT_LINE = 'from kfsecrets_ext import get_secret';

/**
 * A change of a text: what to put where.
 */
export interface IInsertion {
  readonly offset: number;
  readonly text: string;
}

/**
 * The expression that reads a key.
 */
export function snippet(name: string, key: string): string {
  return `get_secret(${pythonString(name)}, ${pythonString(key)})`;
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
 * Whether one of these cells, or this file, binds `get_secret` at its top level.
 */
export function hasImport(sources: Iterable<string>): boolean {
  for (const source of sources) {
    for (const match of source.matchAll(FROM_IMPORT)) {
      const names = (match[1] ?? '')
        .replace(/#.*$|[()\\]/gm, ' ')
        .split(',')
        .map(name => name.trim());
      if (names.some(name => name === 'get_secret' || name === '*')) {
        return true;
      }
    }
  }
  return false;
}

/**
 * The import line, and the place of a cell or file where it may stand.
 *
 * That is the top, but for what must come before any other statement: a cell magic, the comments
 * that start a file, its docstring, and imports from `__future__`.
 */
export function importInsertion(source: string): IInsertion {
  const offset = HEAD.exec(source)?.[0].length ?? 0;
  const starts = offset === 0 || source[offset - 1] === '\n';
  return {
    offset,
    text: `${starts ? '' : '\n'}${IMPORT_LINE}\n`
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
