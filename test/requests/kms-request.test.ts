import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { KMSClient } from '@aws-sdk/client-kms';
import { kmsKeyring } from '../../src/keyrings/kms.ts';
import { kmsDiscoveryKeyring } from '../../src/keyrings/kms-discovery.ts';
import { sendDecrypt } from '../../src/requests/kms-request.ts';
import { TestEndpoint } from '../support/endpoint.ts';
import { generateRequest, unwrapRequest } from '../support/key-requests.ts';
import { leftDirectly } from '../support/sending.ts';

describe('the transport of a KMS keyring', () => {
  let endpoint: TestEndpoint;
  before(async () => {
    endpoint = await TestEndpoint.start();
  });
  beforeEach(() => endpoint.local.requests.clear());
  after(() => endpoint.close());

  const cycle = async (transport: 'auto' | 'client' | undefined, client: KMSClient): Promise<void> => {
    const options = { client, transport };
    const keyring = kmsKeyring({ keyId: 'alias/sealpipe', ...options });
    const discovery = kmsDiscoveryKeyring({ accounts: ['000000000000'], ...options });
    for (let i = 0; i < 5; i++) {
      const {
        dataKey,
        wrappedKey,
        description = {},
      } = await keyring.generateDataKey(generateRequest({ encryptionContext: { number: String(i), 'ä€😀': '"\\' } }));
      const opened = unwrapRequest({ wrappedKey, wrappingAlgorithm: 'kms+context', encryptionContext: description });
      assert.deepEqual(await keyring.unwrapDataKey(opened), dataKey);
      assert.deepEqual(await discovery.unwrapDataKey(opened), dataKey);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await endpoint.local.requests.settled();
  };

  for (const transport of ['auto', undefined] as const) {
    test(`${transport ?? 'that is not given'} has calls leave without the client after the first`, async () => {
      const client = new KMSClient(endpoint.local.kmsConfig);
      await cycle(transport, client);
      for (const operation of ['KMS.GenerateDataKey', 'KMS.Decrypt']) {
        const ways = endpoint.local.requests.all(operation).map(leftDirectly);
        assert.equal(ways[0], false);
        assert.equal(ways.at(-1), true);
      }
    });
  }

  test('client has every call go through the client', async () => {
    const client = new KMSClient(endpoint.local.kmsConfig);
    await cycle('client', client);
    const ways = endpoint.local.requests.all('KMS.*').map(leftDirectly);
    assert.deepEqual(ways, Array(15).fill(false));
    await cycle('auto', client);
    endpoint.local.requests.clear();
    await cycle('client', client);
    assert.ok(endpoint.local.requests.all('KMS.*').every((request) => !leftDirectly(request)));
  });

  test('is auto or client, and nothing else', () => {
    const wrong = { client: endpoint.kms, transport: 'workers' as never };
    assert.throws(
      () => kmsKeyring({ keyId: 'k', ...wrong }),
      /^TypeError: transport is "workers", expected 'auto' or 'client'$/,
    );
    assert.throws(() => kmsDiscoveryKeyring({ accounts: ['000000000000'], ...wrong }), TypeError);
  });

  test('leaves a client alone whose requests somebody watches', async () => {
    const client = new KMSClient(endpoint.local.kmsConfig);
    await cycle('auto', client);
    let seen = 0;
    client.middlewareStack.add(
      (next) => (args) => {
        seen += 1;
        return next(args);
      },
      { step: 'initialize' },
    );
    await cycle('auto', client);
    assert.equal(seen, 15);
  });
});

describe('the memory of an answer', () => {
  const key = Buffer.from(Array.from({ length: 32 }, (_, i) => i + 100)).toString('base64');
  let server: Server;
  let pieces = 1;
  const arrived: Buffer[] = [];

  /** What the transport reads from its sockets, as it lies there. */
  const watch = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    const read = socket.read.bind(socket);
    socket.read = (...args) => {
      const bytes = read(...args) as Buffer | null;
      if (bytes !== null) arrived.push(bytes);
      return bytes;
    };
  };

  before(async () => {
    subscribe('undici:client:connected', watch);
    server = createServer((request, response) => {
      const answer = async (): Promise<void> => {
        const body = JSON.stringify({ KeyId: 'arn:aws:kms:us-east-1:000000000000:key/k', Plaintext: key });
        response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1', 'content-length': body.length });
        response.flushHeaders();
        for (let i = 0; i < pieces; i++) {
          const size = Math.ceil(body.length / pieces);
          response.write(body.slice(i * size, (i + 1) * size));
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        response.end();
      };
      request.resume().on('end', () => void answer());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  });
  after(() => {
    unsubscribe('undici:client:connected', watch);
    server.closeAllConnections();
    server.close();
  });

  for (const [how, count] of [
    ['in one piece', 1],
    ['in two pieces', 2],
  ] as const) {
    test(`holds no key of KMS once it is read, of one that came ${how}`, async () => {
      pieces = count;
      const client = new KMSClient({
        endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        region: 'us-east-1',
        credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
      });
      const call = () =>
        sendDecrypt(client, { CiphertextBlob: Buffer.from('wrapped') }, { signal: new AbortController().signal });
      arrived.length = 0;
      for (let i = 0; i < 10 && arrived.length === 0; i++) {
        const { Plaintext } = await call();
        assert.equal(Buffer.from(Plaintext as Uint8Array).toString('base64'), key);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const all = arrived.map((bytes) => bytes.toString('latin1'));
      assert.ok(
        all.some((text) => text.startsWith('HTTP/1.1 200')),
        'what arrived was seen',
      );
      for (const text of all) {
        for (let at = 0; at + 8 <= key.length; at++) assert.equal(text.includes(key.slice(at, at + 8)), false);
      }
      client.destroy();
    });
  }
});
