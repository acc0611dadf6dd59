import { execFileSync } from 'child_process';

import {
  hasImport,
  importInsertion,
  keySnippet,
  printable,
  registrySnippet
} from '../snippet';

const NAMES = [
  'foo',
  '.dockerconfigjson',
  'nested/path',
  `quote"s and 'apostrophes'`,
  'back\\slash \\n \\x41 \\N{DASH} \\',
  'line\nfeed\r\ttab',
  '\u0000\b\f\u001b',
  'delete \u007f and C1 \u0085 \u009f',
  'separators \u2028%magic \u2029!ls',
  'bidirectional \u202egnp.exe\u202c \u200f',
  'invisible \u200b\u00ad\ufeff\u00a0',
  'not UTF-8 \udc80\udcff',
  'half a pair \ud83d',
  'emoji 🔑 👩‍💻, tags \u{e0041}, Zażółć 秘密',
  '{braces} %s $HOME',
  '"""',
  '") or print(open("/etc/passwd").read()) #',
  ''
];

/** What Python makes of an expression: its arguments, as lists of code points. */
function callInPython(
  name: string,
  expressions: readonly string[]
): string[][] {
  const program = `
import ast, json, sys
name, calls = json.load(sys.stdin)
def arguments(text):
    assert text.isprintable(), ascii(text)
    call = ast.parse(text, mode="eval").body
    assert isinstance(call, ast.Call) and call.func.id == name and not call.keywords
    return [ast.literal_eval(each) for each in call.args]
json.dump([arguments(call) for call in calls], sys.stdout)
`;
  const answer = execFileSync('python3', ['-c', program], {
    input: JSON.stringify([name, expressions]),
    encoding: 'utf8'
  });
  return JSON.parse(answer) as string[][];
}

function afterImport(source: string): string {
  const { offset, text } = importInsertion(source, 'get_secret');
  return source.slice(0, offset) + text + source.slice(offset);
}

/** Whether Python compiles a file, and its docstring. */
function compileInPython(source: string): string | null {
  const program = `
import ast, json, sys
tree = ast.parse(sys.stdin.read())
compile(tree, "file", "exec")
json.dump(ast.get_docstring(tree), sys.stdout)
`;
  const answer = execFileSync('python3', ['-c', program], {
    input: source,
    encoding: 'utf8'
  });
  return JSON.parse(answer) as string | null;
}

describe('keySnippet', () => {
  it('looks as one would write it', () => {
    expect(keySnippet({ name: 'test-secret', key: 'foo' })).toEqual({
      expression: 'get_secret("test-secret", "foo")',
      imports: 'get_secret'
    });
  });

  it('means the very name to Python, whatever the name', () => {
    const pairs = NAMES.flatMap(name => [
      ['s', name],
      [name, 'k']
    ]) as [string, string][];
    const calls = pairs.map(([name, key]) => keySnippet({ name, key }));
    const code = calls.map(({ expression }) => expression);
    expect(callInPython('get_secret', code)).toEqual(pairs);
  });

  it('is one printable line', () => {
    for (const key of NAMES) {
      const { expression } = keySnippet({ name: 's', key });
      expect(expression).toMatch(/^[^\p{C}\p{Zl}\p{Zp}\u00a0]*$/u);
    }
  });
});

describe('registrySnippet', () => {
  it('looks as one would write it', () => {
    expect(registrySnippet({ registry: 'ghcr.io', helpers: false })).toEqual({
      expression: 'get_docker_credentials("ghcr.io")',
      imports: 'get_docker_credentials'
    });
  });

  it('asks for helpers only where one has to be run', () => {
    expect(
      registrySnippet({ registry: 'ghcr.io', helpers: true }).expression
    ).toBe('get_docker_credentials("ghcr.io", helpers=True)');
  });

  it('means the very registry to Python, whatever the name', () => {
    const code = NAMES.map(
      registry => registrySnippet({ registry, helpers: false }).expression
    );
    expect(callInPython('get_docker_credentials', code)).toEqual(
      NAMES.map(name => [name])
    );
  });
});

describe('printable', () => {
  it('leaves a visible name alone', () => {
    expect(printable('a "b" \\ 🔑')).toBe('a "b" \\ 🔑');
  });

  it('shows what could not be seen', () => {
    expect(printable('a\nb')).toBe('"a\\nb"');
    expect(printable('a\u202eb')).toBe('"a\\u202eb"');
    expect(printable('')).toBe('""');
  });
});

describe('hasImport', () => {
  it.each([
    'from kfsecrets_ext import get_secret',
    'import os\nfrom kfsecrets_ext import get_secret_path, get_secret  # both',
    'from kfsecrets_ext import (\n    get_secret,  # this\n    secrets,\n)',
    'from kfsecrets_ext import secrets, \\\n    get_secret',
    'from  kfsecrets_ext  import(get_secret)',
    'from kfsecrets_ext import *'
  ])('finds %j', source => {
    expect(hasImport(['x = 1', source], 'get_secret')).toBe(true);
  });

  it.each([
    '',
    '# from kfsecrets_ext import get_secret',
    'from kfsecrets_ext import get_secret_path',
    'from kfsecrets_ext import get_docker_credentials',
    'from kfsecrets_ext import get_secret as read',
    'from kfsecrets_ext import secrets  # not get_secret,',
    'def f():\n    from kfsecrets_ext import get_secret',
    'from kfsecrets_ext.docker import get_secret',
    'import kfsecrets_ext'
  ])('does not find %j', source => {
    expect(hasImport([source], 'get_secret')).toBe(false);
  });
});

describe('importInsertion', () => {
  const LINE = 'from kfsecrets_ext import get_secret\n';

  it.each([
    ['', LINE],
    ['x = 1', `${LINE}x = 1`],
    ['# a comment\nx = 1', `${LINE}# a comment\nx = 1`],
    ['%%time\nx = 1', `%%time\n${LINE}x = 1`],
    ['%%time', `%%time\n${LINE}`],
    ['%matplotlib inline\nx', `${LINE}%matplotlib inline\nx`],
    ['#!/usr/bin/python\nx = 1', `#!/usr/bin/python\n${LINE}x = 1`],
    ['# -*- coding: utf-8 -*-\nx', `# -*- coding: utf-8 -*-\n${LINE}x`]
  ])('of %j', (source, expected) => {
    expect(afterImport(source)).toBe(expected);
  });

  it.each([
    '"""A docstring."""\nfrom __future__ import annotations\n\nx = 1\n',
    '#!/usr/bin/env python3\n# Copyright\n\n"""A docstring.\n\nLong."""\nimport os\n',
    "'''A docstring.'''\n",
    '"""A docstring."""',
    '"""A docstring."""\n# why\nfrom __future__ import (\n  annotations,\n)\nfrom __future__ import division'
  ])('leaves a file valid and its docstring first: %j', source => {
    const changed = afterImport(source);
    expect(compileInPython(changed)).toBe(compileInPython(source));
    expect(hasImport([changed], 'get_secret')).toBe(true);
  });
});
