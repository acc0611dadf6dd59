import { GuardModel } from '../guard';
import { FakeContext, FakeKernel, FakeTracker, entry, turn } from './kernels';

const ON = { version: '0.1', guard: 'on', reason: null, unguarded: [] };

describe('GuardModel', () => {
  let notebooks: FakeTracker;
  let consoles: FakeTracker;
  let kernel: FakeKernel;
  let context: FakeContext;
  let model: GuardModel;
  let changes: number;

  beforeEach(() => {
    jest.useFakeTimers();
    notebooks = new FakeTracker();
    consoles = new FakeTracker();
    kernel = new FakeKernel();
    context = new FakeContext('work.ipynb', kernel);
    notebooks.open(context);
    model = new GuardModel({
      notebooks: notebooks.asNotebooks(),
      consoles: consoles.asConsoles()
    });
    changes = 0;
    model.changed.connect(() => {
      changes += 1;
    });
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  const masked = (): [string, string, number][] =>
    (model.current?.masked ?? []).map(({ label, rule, count }) => [
      label,
      rule,
      count
    ]);

  it('says what the kernel announced', async () => {
    expect(model.current).toMatchObject({
      document: 'work.ipynb',
      state: 'silent'
    });
    kernel.reply.resolve({
      language_info: { name: 'python' },
      kfsecrets: {
        ...ON,
        unguarded: [{ secret: 'test-secret', key: 'second', reason: 'short' }]
      }
    });
    await turn();
    expect(model.current).toMatchObject({
      state: 'on',
      reason: null,
      unguarded: [{ secret: 'test-secret', key: 'second', reason: 'short' }]
    });
    expect(changes).toBe(1);
  });

  it.each([
    [{ guard: 'off', reason: 'guard.json says so.' }, 'off'],
    [{ guard: 'failed', reason: 'It could not be loaded.' }, 'failed'],
    [{ guard: 'ON' }, 'unguarded'],
    [{}, 'unguarded'],
    [undefined, 'unguarded'],
    [null, 'unguarded'],
    ['on', 'unguarded'],
    [[], 'unguarded']
  ])('takes the announcement %j as %s', async (kfsecrets, state) => {
    kernel.reply.resolve({ language_info: { name: 'R' }, kfsecrets });
    await turn();
    expect(model.current).toMatchObject({ state, language: 'R' });
  });

  it('takes a kernel that says nothing of itself as not guarded', async () => {
    kernel.reply.resolve(null);
    await turn();
    expect(model.current).toMatchObject({ state: 'unguarded', language: '' });
  });

  it('leaves a kernel silent that does not answer', async () => {
    kernel.reply.reject(new Error('Kernel info reply errored'));
    await turn();
    expect(model.current?.state).toBe('silent');
  });

  it('counts what was masked by label and rule, the latest first', () => {
    kernel.mask('test-secret/foo', 'value');
    kernel.mask('aws/key', 'value, base64', 2, 'execute_result');
    kernel.mask('test-secret/foo', 'value', 3, 'inspect_reply');
    expect(masked()).toEqual([
      ['test-secret/foo', 'value', 4],
      ['aws/key', 'value, base64', 2]
    ]);
  });

  it('counts an error once, which is told twice', () => {
    const kfsecrets = { masked: [entry('a/b', 'value')] };
    const metadata = { kfsecrets };
    kernel.send('error', { metadata });
    kernel.send('execute_reply', { metadata, content: { status: 'error' } });
    expect(masked()).toEqual([['a/b', 'value', 1]]);
    kernel.send('execute_reply', { metadata, content: { status: 'ok' } });
    expect(masked()).toEqual([['a/b', 'value', 2]]);
  });

  it('counts only what comes from the kernel', () => {
    const kfsecrets = { masked: [entry('a/b', 'value')] };
    kernel.send('comm_msg', { metadata: { kfsecrets }, direction: 'send' });
    expect(masked()).toEqual([]);
  });

  it('tells of many masks at once', () => {
    for (let i = 0; i < 1000; i += 1) {
      kernel.mask('a/b', 'value');
    }
    expect(changes).toBe(0);
    jest.runAllTimers();
    expect(changes).toBe(1);
    expect(masked()).toEqual([['a/b', 'value', 1000]]);
  });

  it('starts anew with a restarted kernel', async () => {
    kernel.announce(ON);
    kernel.reply.resolve({ kfsecrets: ON });
    kernel.mask('a/b', 'value');
    kernel.statusChanged.emit('restarting');
    expect(model.current).toMatchObject({ state: 'silent', masked: [] });
    // What was under way of the old one does not count.
    kernel.mask('a/b', 'value');
    kernel.announce(ON);
    await turn();
    expect(model.current).toMatchObject({ state: 'silent', masked: [] });
    kernel.session = 'second';
    kernel.announce({ guard: 'failed', reason: 'No.' });
    kernel.mask('c/d', 'value');
    expect(model.current).toMatchObject({ state: 'failed', reason: 'No.' });
    expect(masked()).toEqual([['c/d', 'value', 1]]);
  });

  it('does not take the first answer for that of a restarted kernel', async () => {
    kernel.statusChanged.emit('autorestarting');
    kernel.reply.resolve({ kfsecrets: ON });
    await turn();
    expect(model.current?.state).toBe('silent');
  });

  it('notices that somebody else restarted the kernel', () => {
    kernel.announce(ON);
    kernel.mask('a/b', 'value');
    kernel.session = 'second';
    kernel.announce(ON);
    expect(model.current).toMatchObject({ state: 'on', masked: [] });
  });

  it('follows the current notebook or console, and remembers each', () => {
    kernel.announce(ON);
    kernel.mask('a/b', 'value');
    const other = new FakeKernel();
    const prompt = new FakeContext('Console 1', other);
    consoles.open(prompt);
    other.announce(undefined, 'R');
    expect(model.current).toMatchObject({
      document: 'Console 1',
      state: 'unguarded',
      masked: []
    });
    // It runs on while nobody looks.
    kernel.mask('a/b', 'value');
    notebooks.choose(context);
    expect(model.current).toMatchObject({ state: 'on' });
    expect(masked()).toEqual([['a/b', 'value', 2]]);
    consoles.choose(prompt);
    prompt.close();
    expect(model.current?.document).toBe('work.ipynb');
  });

  it('says nothing where there is no kernel', () => {
    const bare = new FakeContext('bare.ipynb');
    notebooks.open(bare);
    expect(model.current).toBeNull();
    bare.use(new FakeKernel());
    expect(model.current?.state).toBe('silent');
    bare.use(null);
    expect(model.current).toBeNull();
    notebooks.currentWidget = null;
    bare.close();
    expect(model.current).toBeNull();
  });

  it('forgets the kernel before', () => {
    kernel.announce(ON);
    kernel.mask('a/b', 'value');
    context.use(new FakeKernel());
    kernel.mask('a/b', 'value');
    jest.runAllTimers();
    expect(model.current).toMatchObject({ state: 'silent', masked: [] });
  });

  it('works without trackers', () => {
    expect(new GuardModel({ notebooks: null, consoles: null }).current).toBe(
      null
    );
  });

  it('takes whatever a kernel says for no more than it is', () => {
    const long = 'x'.repeat(100_000);
    const odd = [null, 1, 'x', [], {}, { secret: 1, key: 'k' }];
    kernel.announce({
      guard: 'failed',
      reason: long,
      unguarded: [
        ...odd,
        { secret: 's', key: 'k', reason: 'whatever' },
        { secret: long, key: long, reason: 'short' },
        ...Array.from({ length: 5000 }, (_, index) => ({
          secret: 's',
          key: `k${index}`,
          reason: 'common'
        }))
      ]
    });
    const guard = model.current;
    expect(guard?.reason).toHaveLength(601);
    expect(guard?.unguarded.length).toBeLessThanOrEqual(1000);
    expect(guard?.unguarded[0]?.key).toHaveLength(601);
    for (const metadata of [
      ...odd.map(kfsecrets => ({ kfsecrets })),
      { kfsecrets: { masked: 'x' } },
      { kfsecrets: { masked: odd } },
      { kfsecrets: { masked: [entry('l', 1)] } },
      null,
      undefined
    ]) {
      kernel.send('stream', { metadata });
    }
    expect(masked()).toEqual([]);
    for (const count of [-1, 0, NaN, Infinity, 1.5, '7', null, {}]) {
      kernel.mask('a/b', 'value', count as number);
    }
    expect(masked()).toEqual([['a/b', 'value', 8]]);
    for (let i = 0; i < 1000; i += 1) {
      kernel.mask(`a/${i}`, long);
    }
    expect(masked()).toHaveLength(50);
    expect(masked()[0]).toEqual(['a/999', `${'x'.repeat(600)}…`, 1]);
  });
});
