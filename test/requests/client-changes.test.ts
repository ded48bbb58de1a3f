/** Whatever is done to a client takes effect with its very next request, though those before left without it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { Agent as HttpAgent } from 'node:http';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { GetObjectCommand, S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { sendGet } from '../../src/requests/get-request.ts';
import { bytesOf } from '../support/endpoint.ts';
import { type RecordedRequest, RecordingServer } from '../support/recording-server.ts';
import { leftDirectly, untilDirect } from '../support/sending.ts';

let server: RecordingServer;
let other: RecordingServer;
const clients: S3Client[] = [];
before(async () => {
  const content = { headers: { etag: '"e"', 'content-length': '7' }, body: 'content' };
  server = await RecordingServer.start(() => content);
  other = await RecordingServer.start(() => content);
});
beforeEach(() => {
  server.takeRequests();
  other.takeRequests();
});
after(async () => {
  for (const client of clients) client.destroy();
  await Promise.all([server.close(), other.close()]);
});

const credentials = { accessKeyId: 'one', secretAccessKey: 'test' };

function settings(): S3ClientConfig {
  return { endpoint: `http://127.0.0.1:${server.port}`, region: 'us-east-1', forcePathStyle: true, credentials };
}

function newClient(config: S3ClientConfig = {}): S3Client {
  const client = new S3Client({ ...settings(), ...config });
  clients.push(client);
  return client;
}

const send = async (client: S3Client): Promise<void> => {
  const { signal } = new AbortController();
  const { Body } = await sendGet(client, { Bucket: 'b', Key: 'k' }, { signal });
  await bytesOf(Body as never);
};

async function warm(client: S3Client): Promise<void> {
  await untilDirect(
    () => send(client),
    async () => server.takeRequests().at(-1) as RecordedRequest,
  );
}

type Config = Record<string, unknown>;
const endpointOf = (client: S3Client) => (configOf(client).endpoint as () => Promise<Config>)();
const configOf = (client: S3Client): Config => client.config as unknown as Config;

const changes: Record<string, (client: S3Client, note: () => void) => void> = {
  'a middleware is added': (client, note) =>
    client.middlewareStack.add(
      (next) => (args) => {
        note();
        return next(args);
      },
      { step: 'build', name: 'own' },
    ),
  'a middleware takes the place of one of the SDK by its name': (client, note) =>
    client.middlewareStack.add(
      (next) => (args) => {
        note();
        return next(args);
      },
      { step: 'build', name: 'hostHeaderMiddleware', override: true, priority: 'low' },
    ),
  'a logger is put in': (client, note) => {
    configOf(client).logger = { trace: note, debug: note, info: note, warn: note, error: note };
  },
  'send is stubbed': (client, note) => {
    const own = client.send.bind(client) as (...given: never[]) => unknown;
    Object.assign(client, {
      send(...args: never[]) {
        note();
        return own(...args);
      },
    });
  },
  'the handler of requests is stubbed': (client, note) => {
    const { requestHandler } = client.config;
    const handle = requestHandler.handle.bind(requestHandler);
    requestHandler.handle = (...args) => {
      note();
      return handle(...args);
    };
  },
  'the handler of requests is another': (client, note) => {
    const handler = newClient().config.requestHandler;
    configOf(client).requestHandler = {
      handle: (...args: Parameters<typeof handler.handle>) => {
        note();
        return handler.handle(...args);
      },
    };
  },
  'the handler gets an agent': (client, note) => {
    const agent = new HttpAgent();
    const createConnection = agent.createConnection.bind(agent);
    agent.createConnection = (...args: Parameters<typeof createConnection>) => {
      note();
      return createConnection(...args);
    };
    configOf(client).requestHandler = newClient({ requestHandler: { httpAgent: agent } }).config.requestHandler;
  },
  'the endpoint provider is another': (client, note) => {
    const own = configOf(client).endpointProvider as (...args: unknown[]) => unknown;
    configOf(client).endpointProvider = (...args: unknown[]) => {
      note();
      return own(...args);
    };
  },
  'the signer is another': (client, note) => {
    const own = configOf(client).signer as (...args: unknown[]) => unknown;
    configOf(client).signer = (...args: unknown[]) => {
      note();
      return own(...args);
    };
  },
  'the retry strategy is another': (client, note) => {
    const own = configOf(client).retryStrategy as () => Promise<unknown>;
    configOf(client).retryStrategy = () => {
      note();
      return own();
    };
  },
};

describe('the very next request is the client’s when', () => {
  for (const [what, change] of Object.entries(changes)) {
    test(what, async () => {
      const client = newClient();
      await warm(client);
      let seen = 0;
      change(client, () => {
        seen += 1;
      });
      await send(client);
      const [request] = server.takeRequests();
      assert.ok(seen > 0, 'it was passed by');
      assert.equal(leftDirectly(request as RecordedRequest), false);
    });
  }

  test('a time limit for requests is set', async () => {
    const client = newClient();
    await warm(client);
    // The SDK's own way to change a setting of its handler.
    const { requestHandler } = configOf(client) as {
      requestHandler: { updateHttpClientConfig(name: string, value: number): void };
    };
    requestHandler.updateHttpClientConfig('requestTimeout', 5000);
    for (let i = 0; i < 3; i++) {
      await send(client);
      assert.equal(leftDirectly(server.takeRequests()[0] as RecordedRequest), false);
    }
  });

  test('an endpoint is put into its settings', async () => {
    const client = newClient();
    await warm(client);
    const { hostname, protocol, path } = await endpointOf(client);
    configOf(client).endpoint = async () => ({ hostname, protocol, path, port: other.port });
    await send(client);
    assert.deepEqual([server.takeRequests().length, other.takeRequests().length], [0, 1]);
  });

  test('its function for the endpoint names another one', async () => {
    let port = server.port;
    const client = newClient({
      endpoint: async () => ({ protocol: 'http:', hostname: '127.0.0.1', port, path: '/' }),
    });
    const control = newClient({
      endpoint: async () => ({ protocol: 'http:', hostname: '127.0.0.1', port, path: '/' }),
    });
    await warm(client);
    await control.send(new GetObjectCommand({ Bucket: 'b', Key: 'k' }));
    server.takeRequests();
    port = other.port;
    await control.send(new GetObjectCommand({ Bucket: 'b', Key: 'k' }));
    assert.deepEqual([server.takeRequests().length, other.takeRequests().length], [0, 1], 'the SDK asks every time');
    await send(client);
    assert.deepEqual([server.takeRequests().length, other.takeRequests().length], [0, 1]);
  });

  test('its function for the region names another one', async () => {
    let region = 'us-east-1';
    const client = newClient({ region: async () => region });
    await warm(client);
    region = 'eu-west-1';
    await send(client);
    assert.match(String(server.takeRequests()[0]?.headers.authorization), /\/eu-west-1\/s3\//);
  });

  test('its addresses are to have another style', async () => {
    const client = newClient();
    await warm(client);
    client.config.forcePathStyle = false;
    await send(client);
    assert.equal(leftDirectly(server.takeRequests()[0] as RecordedRequest), false);
  });
});

describe('no request leaves without the SDK of', () => {
  const never: Record<string, () => S3Client> = {
    'a class with a send of its own': () => {
      class Own extends S3Client {
        override send(...args: never[]): never {
          return super.send(...(args as [never])) as never;
        }
      }
      const client = new Own(settings());
      clients.push(client);
      return client;
    },
    'a client that signs nothing': () => newClient({ signer: { sign: async (request) => request } }),
    'a client whose retries are adaptive': () => newClient({ retryMode: 'adaptive' }),
    'a client with a retry strategy of the caller': () =>
      newClient({
        retryStrategy: {
          acquireInitialRetryToken: async () => ({ getRetryCount: () => 0, getRetryDelay: () => 0 }),
          refreshRetryTokenForRetry: async (token: never) => token,
          recordSuccess: () => undefined,
        } as never,
      }),
    'a client with a time limit for requests': () => newClient({ requestHandler: { requestTimeout: 5000 } }),
    'a client with an agent': () => newClient({ requestHandler: { httpAgent: new HttpAgent({ keepAlive: true }) } }),
  };
  for (const [what, make] of Object.entries(never)) {
    test(what, async () => {
      const client = make();
      for (let i = 0; i < 5; i++) {
        await send(client);
        for (let turns = 0; turns < 20; turns++) await turn();
      }
      assert.deepEqual(server.takeRequests().map(leftDirectly), Array(5).fill(false));
    });
  }
});

describe('credentials', () => {
  const keyOf = ({ headers }: RecordedRequest): string =>
    /Credential=([^/]+)/.exec(String(headers.authorization))?.[1] ?? '';

  test('are those of the moment, with their token, in each request', async () => {
    let number = 0;
    // Such as expire are asked for anew each time.
    const client = newClient({
      credentials: async () => ({
        accessKeyId: `key-${Math.floor(number++ / 4)}`,
        secretAccessKey: 'secret',
        sessionToken: `token-${number}`,
        expiration: new Date(Date.now() + 1000),
      }),
    });
    const requests: RecordedRequest[] = [];
    for (let i = 0; i < 30; i++) {
      await send(client);
      for (let turns = 0; turns < 10; turns++) await turn();
      requests.push(...server.takeRequests());
    }
    assert.ok(new Set(requests.map(keyOf)).size > 3, 'they did change');
    for (const { headers } of requests)
      assert.match(String(headers.authorization), /SignedHeaders=[^,]*x-amz-security-token/);
  });

  test('that are put in place of others are used by the very next request', async () => {
    const client = newClient();
    await warm(client);
    configOf(client).credentials = { accessKeyId: 'two', secretAccessKey: 'x' };
    await send(client);
    const [request] = server.takeRequests();
    assert.equal(keyOf(request as RecordedRequest), 'two');
  });

  test('that cannot be had fail as they do in the SDK, and are asked for again later', async () => {
    let fails = false;
    const provider = async () => {
      if (fails) throw Object.assign(new Error('no credentials today'), { name: 'CredentialsProviderError' });
      return { ...credentials, expiration: new Date(Date.now() + 1000) };
    };
    const client = newClient({ credentials: provider });
    await warm(client);
    fails = true;
    await assert.rejects(send(client), { name: 'CredentialsProviderError', message: 'no credentials today' });
    assert.deepEqual(server.takeRequests(), []);
    fails = false;
    await send(client);
    assert.equal(server.takeRequests().length, 1);
  });
});

describe('the settings of the handler', () => {
  const connectionsOf = (requests: readonly RecordedRequest[]): number =>
    new Set(requests.map(({ connection }) => connection)).size;

  test('not to keep connections are kept to', async () => {
    const client = newClient({ requestHandler: { httpAgent: { keepAlive: false } } });
    await warm(client);
    for (let i = 0; i < 3; i++) await send(client);
    const requests = server.takeRequests();
    assert.deepEqual(requests.map(leftDirectly), [true, true, true]);
    assert.equal(connectionsOf(requests), 3);
  });

  test('for another number of connections hold as soon as another handler is put in', async () => {
    const client = newClient();
    await warm(client);
    configOf(client).requestHandler = newClient({
      requestHandler: { httpAgent: { maxSockets: 1 } },
    }).config.requestHandler;
    await warm(client);
    await Promise.all(Array.from({ length: 5 }, () => send(client)));
    const requests = server.takeRequests();
    assert.equal(requests.length, 5);
    assert.equal(connectionsOf(requests), 1);
  });
});

test('in a Lambda function every request carries the trace of its invocation', async () => {
  const requests = new URL('../../src/requests/get-request.js', import.meta.url).href;
  const program = `
    const { S3Client } = await import('@aws-sdk/client-s3');
    const { sendGet } = await import(${JSON.stringify(requests)});
    const client = new S3Client(${JSON.stringify(settings())});
    for (let i = 0; i < 6; i++) {
      // None while the function is loaded.
      if (i === 4) process.env._X_AMZN_TRACE_ID = 'Root=1-5759e988-bd862e3fe1be46a994272793';
      const { Body } = await sendGet(client, { Bucket: 'b', Key: 'k' }, { signal: new AbortController().signal });
      for await (const _ of Body);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }`;
  const env = { ...process.env, AWS_LAMBDA_FUNCTION_NAME: 'function', _X_AMZN_TRACE_ID: undefined };
  await promisify(execFile)(process.execPath, ['--no-warnings', '--input-type=module', '-e', program], { env });
  const traces = server.takeRequests().map(({ headers }) => headers['x-amzn-trace-id']);
  assert.equal(traces.length, 6);
  assert.deepEqual(traces.slice(0, 4), [undefined, undefined, undefined, undefined]);
  for (const trace of traces.slice(4)) assert.match(String(trace), /^Root=1-5759e988/);
});

test('a client that was destroyed serves on, as one of the SDK does', async () => {
  const client = newClient();
  client.destroy();
  await warm(client);
  client.destroy();
  await send(client);
  assert.equal(server.takeRequests().length, 1);
});
