/** Clients that are more than an S3Client: what they add keeps working under encryption, or they are refused. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as S3 from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { withEncryption } from '../../src/objects/with-encryption/with-encryption.ts';
import { Bucket, rejection, TestEndpoint } from '../support/endpoint.ts';
import { failure } from '../support/failure.ts';

const MiB = 1024 * 1024;
const secret = 'what nobody but its reader may see';
let endpoint: TestEndpoint;
type Send = (...args: unknown[]) => Promise<unknown>;

before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(() => endpoint.close());

const encrypting = <C extends S3.S3Client>(client: C): C => withEncryption(client, { keyring: endpoint.keyring });
const put = (by: S3.S3Client, Key: string): Promise<unknown> =>
  by.send(new S3.PutObjectCommand({ Bucket, Key, Body: secret }));
async function assertEncrypted(by: S3.S3Client, Key: string): Promise<void> {
  const { body } = await endpoint.stored(Key);
  assert.equal(body.length, secret.length + 16);
  assert.ok(!body.includes(secret));
  const { Body } = await by.send(new S3.GetObjectCommand({ Bucket, Key }));
  assert.equal(await Body?.transformToString(), secret);
}

describe('a client whose commands would leave past the encryption is refused, and nothing is sent', () => {
  const bound = (name: 'send' | 'putObject'): S3.S3 => {
    const client = new S3.S3(endpoint.local.s3Config);
    const original = (client[name] as Send).bind(client);
    return Object.assign(client, { [name]: (...args: unknown[]) => original(...args) });
  };
  class Delegating extends S3.S3Client {
    readonly inner = new S3.S3Client(endpoint.local.s3Config);
    override send = ((...args: unknown[]) => (this.inner.send as Send)(...args)) as never;
  }
  class Later extends S3.S3Client {
    override async send(...args: unknown[]): Promise<never> {
      await new Promise(setImmediate);
      return (await (super.send as Send)(...args)) as never;
    }
  }
  class Rebuilding extends S3.S3Client {
    readonly inner = new S3.S3Client(endpoint.local.s3Config);
    override send(command: unknown): Promise<never> {
      const { constructor: Command, input } = command as { constructor: typeof S3.PutObjectCommand; input: never };
      return this.inner.send(new Command(input)) as Promise<never>;
    }
  }
  class Counting extends S3.S3Client {
    #count = 0;
    get count(): number {
      return this.#count;
    }
    override send(...args: unknown[]): Promise<never> {
      this.#count += 1;
      return (super.send as Send)(...args) as Promise<never>;
    }
  }
  for (const [how, make, message] of [
    ['with a send that is bound to it', () => bound('send'), /^the client's send does not go by the middleware/],
    ['with a putObject that is bound to it', () => bound('putObject'), /^the client has a putObject of its own/],
    ['that hands on to another', () => new Delegating(endpoint.local.s3Config), /send does not go by the middleware/],
    ['that sends later', () => new Later(endpoint.local.s3Config), /or not at once/],
    ['that makes commands anew', () => new Rebuilding(endpoint.local.s3Config), /send does not go by the middleware/],
    ['with #private fields', () => new Counting(endpoint.local.s3Config), /#private fields.+withEncryption returns$/],
  ] as const) {
    test(`one ${how}`, async () => {
      const client = make();
      assert.throws(() => encrypting(client), { name: 'TypeError', message });
      await endpoint.local.requests.settled();
      assert.deepEqual(endpoint.local.requests.counts(), {});
      client.destroy();
    });
  }
});

describe('a client whose send goes by itself encrypts', () => {
  class Counted extends S3.S3 {
    count = 0;
    override send(...args: unknown[]): Promise<never> {
      this.count += 1;
      return (super.send as Send)(...args) as Promise<never>;
    }
  }
  for (const [how, make] of [
    ['an S3Client', () => new S3.S3Client(endpoint.local.s3Config)],
    [
      'an S3Client that keeps its handlers',
      () => new S3.S3Client({ ...endpoint.local.s3Config, cacheMiddleware: true }),
    ],
    ['an S3', () => new S3.S3(endpoint.local.s3Config)],
    ['an S3 that keeps its handlers', () => new S3.S3({ ...endpoint.local.s3Config, cacheMiddleware: true })],
    ['a subclass that counts', () => new Counted(endpoint.local.s3Config)],
    [
      'an S3Client with a send of its own on this',
      () => {
        const client = new S3.S3Client(endpoint.local.s3Config);
        const send = Reflect.get(S3.S3Client.prototype, 'send') as Send;
        return Object.assign(client, {
          send(this: S3.S3Client, ...args: unknown[]): unknown {
            return send.apply(this, args);
          },
        });
      },
    ],
  ] as const) {
    test(`as ${how} does`, async () => {
      const client = make();
      // Handlers of the original are resolved already.
      await client.send(new S3.HeadBucketCommand({ Bucket }));
      const by = encrypting(client);
      const Key = `by ${how}`;
      await put(by, Key);
      await assertEncrypted(by, Key);
      if (by instanceof S3.S3) await by.putObject({ Bucket, Key, Body: secret });
      await assertEncrypted(by, Key);
      client.destroy();
    });
  }

  test('and what is put around it afterwards is called', async () => {
    const client = new S3.S3Client(endpoint.local.s3Config);
    const by = encrypting(client);
    const original = (by.send as Send).bind(by);
    let count = 0;
    Object.assign(by, {
      send: (...args: unknown[]) => {
        count += 1;
        return original(...args);
      },
    });
    await put(by, 'wrapped');
    assert.equal(count, 1);
    await assertEncrypted(by, 'wrapped');
    client.destroy();
  });
});

test('a client keeps its type: methods of S3, paginators, waiters and lib-storage take it', async () => {
  const client = new S3.S3(endpoint.local.s3Config);
  const by: S3.S3 = withEncryption(client, { keyring: endpoint.keyring, contents: 'gcm' });
  await new Upload({ client: by, params: { Bucket, Key: 'typed', Body: secret } }).done();
  await S3.waitUntilObjectExists({ client: by, maxWaitTime: 10 }, { Bucket, Key: 'typed' });
  const { Body } = await by.getObject({ Bucket, Key: 'typed' });
  assert.equal(await Body?.transformToString(), secret);
  const sizes: (number | undefined)[] = [];
  for await (const { Contents } of S3.paginateListObjectsV2({ client: by }, { Bucket, Prefix: 'typed' }))
    sizes.push(...(Contents ?? []).map(({ Size }) => Size));
  assert.deepEqual(sizes, [secret.length]);
  client.destroy();
});

describe('middleware that a client has', () => {
  test('and that is put on the client that encrypts is called for every part, the one with the tag included', async () => {
    const by = encrypting(endpoint.client);
    let ours: unknown;
    by.middlewareStack.add(
      (next) => (args) => {
        Object.assign((args.request as { headers: object }).headers, { 'x-policy': 'required' });
        return next({ ...args, input: { ...args.input } });
      },
      { name: 'policy', step: 'build' },
    );
    by.middlewareStack.add(
      (next, { commandName }) =>
        (args) => {
          if (commandName === 'UploadPartCommand') ours = args.input;
          return next(args);
        },
      { name: 'look', step: 'initialize' },
    );
    // The tag goes with the part that was held, and as a part of its own.
    for (const size of [6 * MiB, 10 * MiB])
      await new Upload({ client: by, params: { Bucket, Key: 'policy', Body: randomBytes(size) } }).done();
    const parts = endpoint.local.requests.all('UploadPart');
    assert.equal(parts.length, 5);
    for (const { headers } of parts) assert.equal(headers['x-policy'], 'required');
    // What lets that part pass lets nothing else pass.
    const again = { ...(ours as S3.UploadPartCommandInput), Body: secret, ContentLength: secret.length };
    failure('COMMAND_REFUSED')(await rejection(by.send(new S3.UploadPartCommand(again))));
    assert.equal(endpoint.local.requests.count('UploadPart'), parts.length);
  });

  for (const priority of ['high', 'normal'] as const) {
    test(`and that waits, ${priority} in the first step, sees what is sent, and parts are begun in the order of the calls`, async () => {
      const client = new S3.S3Client(endpoint.local.s3Config);
      const lengths: (number | undefined)[] = [];
      let calls = 0;
      client.middlewareStack.add(
        (next) => async (args) => {
          lengths.push((args.input as S3.UploadPartCommandInput).ContentLength);
          // Each call overtakes the one before it.
          await sleep(Math.max(0, 30 - 10 * calls++));
          return next(args);
        },
        { name: 'lookup', step: 'initialize', priority },
      );
      const Body = randomBytes(16 * MiB);
      const by = encrypting(client);
      await new Upload({ client: by, params: { Bucket, Key: 'looked-up', Body } }).done();
      const { Body: read } = await by.send(new S3.GetObjectCommand({ Bucket, Key: 'looked-up' }));
      assert.ok(Body.equals((await read?.transformToByteArray()) ?? Buffer.alloc(0)));
      assert.ok(lengths.includes(MiB + 16), 'what is held goes with its tag');
      client.destroy();
    });
  }
});
