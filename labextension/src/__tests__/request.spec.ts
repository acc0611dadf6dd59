import {
  RequestFailed,
  ServerExtensionMissing,
  ServerUnreachable,
  UnexpectedAnswer,
  requestPod,
  requestRegistries,
  requestSecrets
} from '../request';
import { FakeServer, POD, REGISTRIES, secret, secrets } from './server';

describe('request', () => {
  let server: FakeServer;

  beforeEach(() => {
    server = new FakeServer();
  });

  it('asks under the base URL', async () => {
    server.answers = { secrets: secrets(), registries: REGISTRIES, pod: POD };
    await requestSecrets(server.settings);
    await requestRegistries(server.settings);
    await requestPod(server.settings);
    const paths = server.asked.map(url => url.replace(/\?.*$/, ''));
    expect(paths).toEqual([
      'http://hub.example/notebook/alice/nb/kfsecrets/api/v1/secrets',
      'http://hub.example/notebook/alice/nb/kfsecrets/api/v1/registries',
      'http://hub.example/notebook/alice/nb/kfsecrets/api/v1/pod'
    ]);
  });

  it('gives the answer', async () => {
    const answer = secrets(secret('test-secret'));
    server.answers = { secrets: answer };
    await expect(requestSecrets(server.settings)).resolves.toEqual(answer);
  });

  it('knows a server without the extension', async () => {
    await expect(requestSecrets(server.settings)).rejects.toThrow(
      ServerExtensionMissing
    );
  });

  it('does without the endpoints that a server may lack', async () => {
    await expect(requestRegistries(server.settings)).resolves.toBeNull();
    await expect(requestPod(server.settings)).resolves.toBeNull();
  });

  it('knows a server that does not answer', async () => {
    server.answers = { secrets: new TypeError('Failed to fetch') };
    await expect(requestSecrets(server.settings)).rejects.toThrow(
      ServerUnreachable
    );
  });

  it('carries the status and the sentence of a server that refuses', async () => {
    const text = JSON.stringify({ message: 'Not for you.', reason: null });
    server.answers = { secrets: { status: 403, text } };
    const refused = requestSecrets(server.settings);
    await expect(refused).rejects.toThrow(RequestFailed);
    await expect(refused).rejects.toMatchObject({
      status: 403,
      detail: 'Not for you.'
    });
  });

  it('does not show the page of a server that fails', async () => {
    server.answers = {
      secrets: { status: 502, text: '<html>Bad gateway</html>' }
    };
    await expect(requestSecrets(server.settings)).rejects.toMatchObject({
      status: 502,
      detail: ''
    });
  });

  it.each(['<html>Log in</html>', '[]', 'null', '{"ok": true}'])(
    'knows an answer that is not ours: %s',
    async text => {
      server.answers = {
        secrets: { status: 200, text },
        registries: { status: 200, text }
      };
      await expect(requestSecrets(server.settings)).rejects.toThrow(
        UnexpectedAnswer
      );
      await expect(requestRegistries(server.settings)).rejects.toThrow(
        UnexpectedAnswer
      );
    }
  );
});
