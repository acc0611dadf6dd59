import type { JupyterFrontEnd } from '@jupyterlab/application';
import { Clipboard } from '@jupyterlab/apputils';
import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { addCommands } from '../commands';
import { CredentialsModel } from '../model';
import { CommandIDs } from '../tokens';
import { FakeServer } from './server';

const KEY = { name: 'test-secret', key: 'foo' };
const REGISTRY = { registry: 'ghcr.io', helpers: false };

describe('the commands', () => {
  let commands: CommandRegistry;
  let copied: unknown[];

  beforeEach(() => {
    commands = new CommandRegistry();
    copied = [];
    jest
      .spyOn(Clipboard, 'copyToSystem')
      .mockImplementation(data => copied.push(data));
    addCommands(
      { commands, shell: { currentWidget: null } } as JupyterFrontEnd,
      new CredentialsModel(new FakeServer().settings),
      { notebooks: null, consoles: null, editors: null },
      nullTranslator.load('kfsecrets_ext')
    );
  });

  afterEach(() => jest.restoreAllMocks());

  it.each<[string, ReadonlyPartialJSONObject, string]>([
    [CommandIDs.copySnippet, KEY, 'get_secret("test-secret", "foo")'],
    [CommandIDs.insertSnippet, KEY, 'get_secret("test-secret", "foo")'],
    [CommandIDs.copyRegistry, REGISTRY, 'get_docker_credentials("ghcr.io")'],
    [
      CommandIDs.insertRegistry,
      { ...REGISTRY, helpers: true },
      'get_docker_credentials("ghcr.io", helpers=True)'
    ],
    [
      CommandIDs.insertRegistry,
      { registry: 'ghcr.io' },
      'get_docker_credentials("ghcr.io")'
    ]
  ])('%s of %j copies where nobody writes', async (id, args, expression) => {
    expect(commands.isEnabled(id, args)).toBe(true);
    expect(await commands.execute(id, args)).toBe('copied');
    expect(copied).toEqual([expression]);
  });

  it.each<[string, ReadonlyPartialJSONObject]>([
    [CommandIDs.insertSnippet, {}],
    [CommandIDs.copySnippet, { name: 'test-secret', key: 1 }],
    [CommandIDs.insertSnippet, REGISTRY],
    [CommandIDs.insertRegistry, KEY],
    [CommandIDs.copyRegistry, { registry: null }],
    [CommandIDs.copyRegistry, { registry: 'ghcr.io', helpers: 'pass' }]
  ])('%s of %j does nothing', async (id, args) => {
    expect(commands.isEnabled(id, args)).toBe(false);
    await expect(commands.execute(id, args)).rejects.toThrow(TypeError);
    expect(copied).toEqual([]);
  });

  it.each<[string, string[]]>([
    [CommandIDs.insertSnippet, ['name', 'key']],
    [CommandIDs.copySnippet, ['name', 'key']],
    [CommandIDs.insertRegistry, ['registry', 'helpers']],
    [CommandIDs.copyRegistry, ['registry', 'helpers']]
  ])('%s describes its arguments %j', async (id, names) => {
    const { args } = await commands.describedBy(id);
    expect(Object.keys((args?.['properties'] ?? {}) as object)).toEqual(names);
  });
});
