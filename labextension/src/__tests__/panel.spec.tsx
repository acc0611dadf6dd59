import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { MessageLoop } from '@lumino/messaging';
import { Signal } from '@lumino/signaling';
import { Widget } from '@lumino/widgets';
import { act, fireEvent, screen, within } from '@testing-library/react';

import { CredentialsModel } from '../model';
import { CredentialsPanel } from '../panel';
import {
  CommandIDs,
  type IGuard,
  type IGuardModel,
  type IMask
} from '../tokens';
import {
  FakeServer,
  POD,
  REGISTRIES,
  file,
  key,
  registry,
  secret,
  secrets
} from './server';

/**
 * The guard of a kernel that the test speaks for.
 */
class FakeGuards implements IGuardModel {
  readonly changed = new Signal<this, void>(this);
  current: IGuard | null = null;

  say(fields: Partial<IGuard>): void {
    this.current = {
      document: 'work.ipynb',
      state: 'on',
      reason: null,
      language: 'python',
      unguarded: [],
      masked: [],
      ...fields
    };
    this.changed.emit();
  }
}

describe('CredentialsPanel', () => {
  let known: IGuardModel | null;
  let server: FakeServer;
  let model: CredentialsModel;
  let commands: CommandRegistry;
  let panel: CredentialsPanel;
  let executed: [string, unknown][];
  let time: number;

  beforeEach(() => {
    server = new FakeServer();
    server.answers = {
      secrets: secrets(
        secret('test-secret', {
          poddefault: 'tutorial',
          keys: [key('foo'), key('a\nb')]
        }),
        secret('database', {
          state: 'stale',
          reason: 'Restart the notebook.',
          keys: [
            key('password', { kind: 'environment', variable: 'DB_PASSWORD' })
          ]
        })
      ),
      registries: REGISTRIES,
      pod: POD
    };
    known = null;
    time = 0;
    model = new CredentialsModel(server.settings, () => time);
    commands = new CommandRegistry();
    executed = [];
    const outcomes = {
      [CommandIDs.insertSnippet]: 'inserted',
      [CommandIDs.copySnippet]: 'copied',
      [CommandIDs.insertRegistry]: 'inserted',
      [CommandIDs.copyRegistry]: 'copied'
    };
    for (const [id, outcome] of Object.entries(outcomes)) {
      commands.addCommand(id, {
        describedBy: { args: { type: 'object' } },
        execute: args => {
          executed.push([id, args]);
          return outcome;
        }
      });
    }
  });

  afterEach(async () => {
    await act(async () => panel.dispose());
  });

  /** Show the panel and wait for the server's answer. */
  async function show(): Promise<void> {
    await act(async () => {
      panel = new CredentialsPanel({
        commands,
        guards: known,
        model,
        translator: nullTranslator
      });
      Widget.attach(panel, document.body);
      MessageLoop.sendMessage(panel, Widget.Msg.AfterShow);
    });
    await settled();
  }

  async function settled(): Promise<void> {
    await act(async () => {
      do {
        await new Promise(resolve => setTimeout(resolve));
        MessageLoop.flush();
      } while (model.refreshing);
    });
  }

  function status(): string | null {
    return screen.getByRole('status').textContent;
  }

  function row(name: string): HTMLElement {
    const item = screen.getByRole('button', { name }).closest('li');
    if (item === null) {
      throw new Error(`no row of ${name}`);
    }
    return item;
  }

  it('asks the server when it is shown, not before', async () => {
    panel = new CredentialsPanel({
      commands,
      guards: known,
      model,
      translator: nullTranslator
    });
    expect(server.asked).toEqual([]);
    panel.dispose();
    await show();
    expect(server.asked).not.toEqual([]);
    expect(status()).toBe('2 credentials');
  });

  it('shows names, origins, places, states and reasons', async () => {
    await show();
    const tutorial = row('test-secret');
    expect(tutorial.textContent).toContain('PodDefault tutorial');
    expect(tutorial.textContent).toContain('/secret/test-secret');
    expect(tutorial.textContent).toContain('Ready');
    const database = row('database');
    expect(database.textContent).toContain('PodDefault not known');
    expect(database.textContent).toContain('Stale');
    expect(database.textContent).toContain('Restart the notebook.');
    expect(database.textContent).toContain('environment variable DB_PASSWORD');
  });

  it('shows the pod, its notes and the registries', async () => {
    await show();
    expect(screen.getByText('Pod nb-0 in namespace alice')).toBeTruthy();
    const notes = screen.getByRole('list', { name: 'Notes' });
    expect(notes.textContent).toContain('No stamps');
    expect(screen.getByText('https://index.docker.io/v1/')).toBeTruthy();
    expect(screen.getByText('user name and password')).toBeTruthy();
  });

  it('has no section of registries where the server lists none', async () => {
    await show();
    expect(screen.queryByText('Registries')).not.toBeNull();
    delete server.answers['registries'];
    fireEvent.click(screen.getByRole('button', { name: 'Refresh' }));
    await settled();
    expect(screen.queryByText('Registries')).toBeNull();
  });

  it('folds and unfolds the keys', async () => {
    await show();
    const button = screen.getByRole('button', { name: 'test-secret' });
    expect(button.getAttribute('aria-expanded')).toBe('true');
    expect(
      screen.getByRole('list', { name: 'Keys of test-secret' })
    ).toBeTruthy();
    fireEvent.click(button);
    expect(button.getAttribute('aria-expanded')).toBe('false');
    expect(
      screen.queryByRole('list', { name: 'Keys of test-secret' })
    ).toBeNull();
  });

  it('starts folded where there are many keys', async () => {
    const keys = Array.from({ length: 31 }, (_, index) => key(`k${index}`));
    server.answers['secrets'] = secrets(secret('many', { keys }));
    await show();
    const button = screen.getByRole('button', { name: 'many' });
    expect(button.getAttribute('aria-expanded')).toBe('false');
    const filter = screen.getByRole('searchbox');
    fireEvent.change(filter, { target: { value: 'k30' } });
    const list = screen.getByRole('list', { name: 'Keys of many' });
    expect(within(list).getAllByRole('listitem')).toHaveLength(1);
  });

  it('runs the commands with the very name of a key', async () => {
    await show();
    const insert = 'Insert code for key "a\\nb" of test-secret';
    fireEvent.click(screen.getByRole('button', { name: insert }));
    await settled();
    expect(executed).toEqual([
      [CommandIDs.insertSnippet, { name: 'test-secret', key: 'a\nb' }]
    ]);
    expect(status()).toBe('Inserted the code');
    const copy = 'Copy code for key foo of test-secret';
    fireEvent.click(screen.getByRole('button', { name: copy }));
    await settled();
    expect(status()).toBe('Copied the code to the clipboard');
  });

  it('runs the commands with the very name of a registry', async () => {
    await show();
    const name = 'https://index.docker.io/v1/';
    const insert = `Insert code for registry ${name}`;
    const button = screen.getByRole('button', { name: insert });
    expect(button.title).toBe(`Insert get_docker_credentials("${name}")`);
    fireEvent.click(button);
    await settled();
    expect(status()).toBe('Inserted the code');
    const copy = `Copy code for registry ${name}`;
    fireEvent.click(screen.getByRole('button', { name: copy }));
    await settled();
    expect(status()).toBe('Copied the code to the clipboard');
    const query = { registry: name, helpers: false };
    expect(executed).toEqual([
      [CommandIDs.insertRegistry, query],
      [CommandIDs.copyRegistry, query]
    ]);
  });

  it('has code for each registry that credentials can be got for', async () => {
    server.answers['registries'] = {
      files: [
        file(
          '/a/config.json',
          registry('static.example', 'static'),
          registry('token.example', 'token'),
          registry('helper.example', 'helper', { helper: 'ecr-login' }),
          registry('*', 'helper', { helper: 'pass' }),
          registry('*.example', 'static'),
          registry('white space', 'static'),
          registry('', 'static'),
          registry('empty.example', 'empty'),
          registry('invalid.example', 'invalid')
        )
      ],
      notes: []
    };
    await show();
    const buttons = screen.getAllByRole('button', {
      name: /^Insert code for registry/
    });
    expect(buttons.map(({ title }) => title)).toEqual([
      'Insert get_docker_credentials("static.example")',
      'Insert get_docker_credentials("token.example")',
      'Insert get_docker_credentials("helper.example", helpers=True)'
    ]);
  });

  it('says which file wins, and which entries are not used', async () => {
    server.answers['registries'] = {
      files: [
        file(
          '/a/config.json',
          registry('static.example', 'static'),
          registry('invalid.example', 'invalid'),
          registry('helper.example', 'helper'),
          registry('empty.example', 'empty')
        ),
        file(
          '/b/config.json',
          registry('static.example', 'token'),
          registry('invalid.example', 'static'),
          registry('helper.example', 'static'),
          registry('empty.example', 'static'),
          registry('other.example', 'static')
        ),
        {
          ...file('/c/config.json', registry('helper.example', 'static')),
          used: false
        }
      ],
      notes: []
    };
    await show();
    const files = screen.getByRole('list', {
      name: 'Docker configuration files'
    });
    expect(within(files).getAllByText('in use')).toHaveLength(2);
    const entries = (path: string): (string | null)[][] =>
      within(screen.getByRole('list', { name: `Registries of ${path}` }))
        .getAllByRole('listitem')
        .map(item => [
          item.querySelector('.jp-KfSecrets-keyName')?.textContent ?? null,
          item.querySelector('.jp-KfSecrets-reason')?.textContent ?? null,
          item.querySelector('button')?.title ?? null
        ]);
    const insert = (name: string) => `Insert get_docker_credentials("${name}")`;
    expect(entries('/b/config.json')).toEqual([
      ['static.example', 'Not used: /a/config.json comes first', null],
      ['invalid.example', 'Not used: /a/config.json comes first', null],
      [
        'helper.example',
        'Used only where /a/config.json has no answer',
        insert('helper.example')
      ],
      ['empty.example', null, insert('empty.example')],
      ['other.example', null, insert('other.example')]
    ]);
    expect(entries('/c/config.json')).toEqual([
      ['helper.example', 'Not used: /b/config.json comes first', null]
    ]);
  });

  it.each([
    ['https://index.docker.io/v1/', 'docker.io', true],
    ['registry-1.docker.io', 'https://index.docker.io/v1', true],
    ['https://ghcr.io', 'ghcr.io', true],
    ['ghcr.io', 'https://ghcr.io/v2/', true],
    ['docker.io/team', 'docker.io', false],
    ['docker.io', 'quay.io', false],
    ['notdocker.io', 'docker.io', false],
    ['ghcr.io/team', 'ghcr.io/other', false]
  ])('takes %s and %s for one registry: %s', async (first, second, same) => {
    server.answers['registries'] = {
      files: [
        file('/a/config.json', registry(first, 'static')),
        file('/b/config.json', registry(second, 'static'))
      ],
      notes: []
    };
    await show();
    const entry = screen.getByRole('list', {
      name: 'Registries of /b/config.json'
    });
    expect(entry.textContent?.includes('Not used: /a/config.json')).toBe(same);
  });

  describe('with a kernel', () => {
    let guards: FakeGuards;
    const last = new Date(2026, 10, 25, 14, 3, 5);
    const mask = (label: string, rule: string, count = 1): IMask => ({
      label,
      rule,
      count,
      last
    });
    const line = (): HTMLElement =>
      screen.getByRole('region', { name: 'Guard' });
    const say = async (fields: Partial<IGuard>): Promise<void> => {
      await act(async () => guards.say(fields));
      await settled();
    };

    beforeEach(() => {
      guards = new FakeGuards();
      known = guards;
    });

    it('says nothing of a guard until there is one', async () => {
      await show();
      expect(screen.queryByRole('region', { name: 'Guard' })).toBeNull();
      await say({});
      expect(line().textContent).toContain('Guard on');
      expect(line().textContent).toContain('work.ipynb');
      guards.current = null;
      await act(async () => guards.changed.emit());
      expect(screen.queryByRole('region', { name: 'Guard' })).toBeNull();
    });

    it.each<[Partial<IGuard>, string[]]>([
      [
        { state: 'off', reason: '/etc/kfsecrets/guard.json says so.' },
        [
          'Guard off by the administrator',
          'guard.json',
          'stays in the notebook'
        ]
      ],
      [
        { state: 'failed', reason: 'No index could be built.' },
        ['Guard failed', 'No index could be built.']
      ],
      [{ state: 'failed' }, ['Guard failed', 'Restart the kernel']],
      [
        { state: 'unguarded' },
        ['This kernel is not guarded', 'is not in its environment']
      ],
      [
        { state: 'unguarded', language: 'R' },
        ['This kernel is not guarded', 'Only Python kernels are']
      ],
      [
        { reason: 'guard.json cannot be read. The guard is on.' },
        ['Guard on', 'guard.json cannot be read.']
      ],
      [{ state: 'silent' }, ['The kernel has not answered yet']]
    ])('says of %j: %s', async (fields, words) => {
      await show();
      await say(fields);
      for (const word of words) {
        expect(line().textContent).toContain(word);
      }
    });

    it('lists what was masked, in words, as long as there is something', async () => {
      server.answers['redaction'] = {
        rules: [
          { rule: 'value', text: 'the value' },
          { rule: 'base64', text: 'in base64' }
        ]
      };
      await show();
      await say({});
      expect(screen.queryByRole('heading', { name: 'Guard' })).toBeNull();
      await say({
        masked: [
          mask('aws/key', 'value, base64, new', 2),
          mask('test-secret/foo', 'value')
        ]
      });
      const items = within(
        screen.getByRole('list', { name: 'Masked lately' })
      ).getAllByRole('listitem');
      expect(items.map(({ textContent }) => textContent)).toEqual([
        `aws/key2 timesthe value, in base64, new; last at ${last.toLocaleTimeString()}`,
        `test-secret/foo1 timethe value; last at ${last.toLocaleTimeString()}`
      ]);
      await say({});
      expect(screen.queryByRole('list', { name: 'Masked lately' })).toBeNull();
    });

    it('says the rules as the kernel does where the server has no words', async () => {
      await show();
      await say({
        masked: [mask('a/b', 'hex')]
      });
      expect(
        screen.getByRole('list', { name: 'Masked lately' }).textContent
      ).toContain('hex; last at');
    });

    it('shows keys that are not masked by value, and at the keys too', async () => {
      await show();
      await say({
        unguarded: [
          { secret: 'test-secret', key: 'foo', reason: 'short' },
          { secret: 'database', key: 'password', reason: 'common' },
          { secret: 'test-secret', key: 'a\nb', reason: 'public' }
        ]
      });
      expect(
        screen.getByRole('list', { name: 'Not masked by value' }).textContent
      ).toBe(
        'test-secret/fooToo short to be masked in outputs' +
          'database/passwordToo common to be masked in outputs'
      );
      expect(row('database').textContent).toContain('Too common');
      const keys = screen.getByRole('list', { name: 'Keys of test-secret' });
      const [odd, foo] = within(keys).getAllByRole('listitem').reverse();
      expect(foo?.textContent).toContain('Too short to be masked in outputs');
      expect(odd?.textContent).toContain('Public, and not masked in outputs');
      await say({ state: 'silent' });
      expect(row('database').textContent).not.toContain('Too common');
    });

    it('has no list of keys that are public by intention', async () => {
      await show();
      await say({
        unguarded: [{ secret: 'test-secret', key: 'foo', reason: 'public' }]
      });
      expect(screen.queryByRole('heading', { name: 'Guard' })).toBeNull();
      expect(row('test-secret').textContent).toContain('Public');
    });

    it('does not draw the credentials anew for each mask', async () => {
      await show();
      await say({});
      const list = screen.getByRole('list', { name: 'Credentials' });
      const changes: MutationRecord[] = [];
      const observer = new MutationObserver(more => changes.push(...more));
      observer.observe(list, { subtree: true, childList: true });
      let drawn = 0;
      jest.spyOn(model, 'filter', 'get').mockImplementation(() => {
        drawn += 1;
        return '';
      });
      const before = guards.current?.unguarded ?? [];
      await say({ unguarded: before, masked: [mask('a/b', 'hex')] });
      // The header draws itself, and says how many match.
      expect(drawn).toBeLessThanOrEqual(2);
      expect(changes).toEqual([]);
      observer.disconnect();
    });

    it('never takes what a kernel says for markup', async () => {
      const markup = '<img src=x onerror="document.title = \'owned\'">\u202e';
      await show();
      await say({
        state: 'failed',
        reason: markup,
        document: markup,
        unguarded: [{ secret: markup, key: markup, reason: 'short' }],
        masked: [mask(markup, markup)]
      });
      expect(document.querySelector('img')).toBeNull();
      expect(document.body.textContent).not.toContain('\u202e');
      expect(document.body.textContent).toContain('<img src=x');
    });
  });

  it('has no buttons for commands that are disabled', async () => {
    commands = new CommandRegistry();
    await show();
    expect(screen.queryByRole('button', { name: /^(Insert|Copy)/ })).toBeNull();
    expect(screen.getByText('foo')).toBeTruthy();
    expect(screen.getByText('https://index.docker.io/v1/')).toBeTruthy();
  });

  it('filters, says how many are left, and clears', async () => {
    await show();
    const filter = screen.getByRole('searchbox', {
      name: 'Filter credentials'
    });
    fireEvent.change(filter, { target: { value: 'data' } });
    expect(screen.queryByRole('button', { name: 'test-secret' })).toBeNull();
    expect(status()).toBe('1 credential matches the filter');
    fireEvent.change(filter, { target: { value: 'nothing' } });
    expect(screen.getByText('No credential matches “nothing”.')).toBeTruthy();
    fireEvent.click(screen.getByRole('button', { name: 'Clear the filter' }));
    expect(status()).toBe('2 credentials');
    fireEvent.change(filter, { target: { value: 'data' } });
    fireEvent.keyDown(filter, { key: 'Escape' });
    expect(status()).toBe('2 credentials');
  });

  it('says what an empty list means', async () => {
    server.answers['secrets'] = secrets();
    await show();
    expect(screen.getByText('No credentials are mounted here')).toBeTruthy();
    expect(screen.getByText(/^An administrator grants/)).toBeTruthy();
    expect(screen.getByText('Looked in /secret, /secrets')).toBeTruthy();
    expect(status()).toBe('0 credentials');
  });

  it('says what to do where the server extension is missing', async () => {
    const answers = server.answers;
    server.answers = {};
    await show();
    expect(screen.getByText('jupyter server extension list')).toBeTruthy();
    expect(
      screen.getByText('jupyter server extension enable kfsecrets_ext')
    ).toBeTruthy();
    server.answers = answers;
    fireEvent.click(screen.getByRole('button', { name: 'Retry' }));
    await settled();
    expect(row('test-secret')).toBeTruthy();
  });

  it('keeps the list when a refresh fails, and retries', async () => {
    await show();
    server.answers['secrets'] = {
      status: 500,
      text: JSON.stringify({ message: 'The disk is on fire.' })
    };
    fireEvent.click(screen.getByRole('button', { name: 'Refresh' }));
    await settled();
    const alert = screen.getByRole('alert');
    expect(alert.textContent).toContain('The disk is on fire. (HTTP 500)');
    expect(alert.textContent).toContain('may be out of date');
    expect(row('test-secret')).toBeTruthy();
    server.answers['secrets'] = secrets();
    fireEvent.click(within(alert).getByRole('button', { name: 'Retry' }));
    await settled();
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('never takes what the server says for markup', async () => {
    const markup = '<img src=x onerror="document.title = \'owned\'">';
    server.answers['secrets'] = secrets(
      secret(markup, { reason: markup, keys: [key(markup)] })
    );
    await show();
    expect(document.querySelector('img')).toBeNull();
    expect(screen.getAllByText(markup).length).toBe(3);
  });

  it('asks again on the way back to the window, if the answer is old', async () => {
    await show();
    const asked = server.asked.length;
    jest.spyOn(panel, 'isVisible', 'get').mockReturnValue(true);
    fireEvent.focus(window);
    await settled();
    expect(server.asked).toHaveLength(asked);
    time = 1000 * CredentialsPanel.FRESH_SECONDS;
    fireEvent.focus(window);
    await settled();
    expect(server.asked).toHaveLength(2 * asked);
  });

  it('asks nothing while it is hidden, nor after its end', async () => {
    await show();
    const asked = server.asked.length;
    time = 1000 * CredentialsPanel.FRESH_SECONDS;
    const visible = jest.spyOn(panel, 'isVisible', 'get');
    visible.mockReturnValue(false);
    fireEvent.focus(window);
    visible.mockReturnValue(true);
    await act(async () => panel.dispose());
    fireEvent.focus(window);
    await settled();
    expect(server.asked).toHaveLength(asked);
  });
});
