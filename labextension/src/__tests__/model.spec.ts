import { CredentialsModel, matches } from '../model';
import { ServerUnreachable } from '../request';
import {
  type Answer,
  FakeServer,
  POD,
  REGISTRIES,
  key,
  secret,
  secrets
} from './server';

describe('CredentialsModel', () => {
  let server: FakeServer;
  let model: CredentialsModel;
  let time: number;

  beforeEach(() => {
    server = new FakeServer();
    server.answers = {
      secrets: secrets(secret('test-secret')),
      registries: REGISTRIES,
      pod: POD
    };
    time = 0;
    model = new CredentialsModel(server.settings, () => time);
  });

  it('asks nothing before it is told to', () => {
    expect(model.phase).toBe('loading');
    expect(server.asked).toEqual([]);
  });

  it('is ready once the answers are in', async () => {
    const refreshed = model.refresh();
    expect(model.refreshing).toBe(true);
    await refreshed;
    expect(model.refreshing).toBe(false);
    expect(model.phase).toBe('ready');
    expect(model.inventory).toEqual({
      secrets: server.answers['secrets'],
      registries: REGISTRIES,
      pod: POD,
      redaction: null,
      failures: []
    });
  });

  it('says when something changed', async () => {
    const phases: string[] = [];
    model.changed.connect(sender => phases.push(sender.phase));
    await model.refresh();
    expect(phases).toEqual(['loading', 'ready']);
    model.filter = 'aws';
    model.filter = 'aws';
    expect(phases).toHaveLength(3);
  });

  it('knows a server without the extension, and sees it appear', async () => {
    const answers = server.answers;
    server.answers = {};
    await model.refresh();
    expect(model.phase).toBe('missing-server');
    server.answers = answers;
    await model.refresh();
    expect(model.phase).toBe('ready');
  });

  it('keeps the last list when a later request fails', async () => {
    await model.refresh();
    const before = model.inventory;
    server.answers['secrets'] = new TypeError('Failed to fetch');
    await model.refresh();
    expect(model.phase).toBe('error');
    expect(model.error).toBeInstanceOf(ServerUnreachable);
    expect(model.inventory).toBe(before);
    server.answers['secrets'] = secrets();
    await model.refresh();
    expect(model.phase).toBe('ready');
    expect(model.error).toBeNull();
  });

  it('lists the secrets though the registries and the pod fail', async () => {
    server.answers['registries'] = { status: 500, text: '{}' };
    server.answers['pod'] = { status: 500, text: '{}' };
    await model.refresh();
    expect(model.phase).toBe('ready');
    expect(model.inventory?.registries).toBeNull();
    expect(model.inventory?.failures.map(({ part }) => part).sort()).toEqual([
      'pod',
      'registries'
    ]);
  });

  it('shows the newest answer, not the last to arrive', async () => {
    const waiting: ((answer: Answer) => void)[] = [];
    server.answers['secrets'] = () =>
      new Promise<Answer>(resolve => waiting.push(resolve));
    const first = model.refresh();
    const second = model.refresh();
    while (waiting.length < 2) {
      await new Promise(resolve => setTimeout(resolve));
    }
    waiting[1]?.(secrets(secret('new')));
    await second;
    expect(model.refreshing).toBe(true);
    waiting[0]?.(secrets(secret('old')));
    await first;
    expect(model.refreshing).toBe(false);
    expect(model.inventory?.secrets.secrets[0]?.name).toBe('new');
  });

  it('asks again only when the answer is old', async () => {
    await model.refreshIfOlder(30);
    const asked = server.asked.length;
    expect(asked).toBeGreaterThan(0);
    time = 29_999;
    await model.refreshIfOlder(30);
    expect(server.asked).toHaveLength(asked);
    time = 30_000;
    await model.refreshIfOlder(30);
    expect(server.asked).toHaveLength(2 * asked);
  });

  it('has no timer', async () => {
    jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate'] });
    try {
      await model.refresh();
      expect(jest.getTimerCount()).toBe(0);
    } finally {
      jest.useRealTimers();
    }
  });
});

describe('matches', () => {
  const list = [
    secret('test-secret', { keys: [key('foo'), key('bar')] }),
    secret('aws', {
      poddefault: 'cloud-access',
      keys: [
        key('id', { variable: 'AWS_ACCESS_KEY_ID' }),
        key('secret', { variable: 'AWS_SECRET_ACCESS_KEY' })
      ]
    })
  ];

  function found(filter: string): [string, string[]][] {
    return matches(list, filter).map(match => [
      match.secret.name,
      match.keys.map(({ name }) => name)
    ]);
  }

  it('finds everything without a filter', () => {
    expect(found(' ')).toEqual([
      ['test-secret', ['foo', 'bar']],
      ['aws', ['id', 'secret']]
    ]);
  });

  it('finds by name, PodDefault and path, with all keys', () => {
    expect(found('TEST')).toEqual([['test-secret', ['foo', 'bar']]]);
    expect(found('cloud')).toEqual([['aws', ['id', 'secret']]]);
    expect(found('/secret/aws')).toEqual([['aws', ['id', 'secret']]]);
  });

  it('finds by key and by variable, with those keys only', () => {
    expect(found('fo')).toEqual([['test-secret', ['foo']]]);
    expect(found('access_key_id')).toEqual([['aws', ['id']]]);
  });

  it('wants every word', () => {
    expect(found('aws id')).toEqual([['aws', ['id']]]);
    expect(found('aws foo')).toEqual([]);
  });
});
