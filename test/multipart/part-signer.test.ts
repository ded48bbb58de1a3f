import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { S3Client, UploadPartCommand, type UploadPartCommandInput } from '@aws-sdk/client-s3';
import { PartSigner } from '../../src/multipart/part-signer.ts';
import { catchSigned, signedRequest } from '../../src/multipart/request-signer.ts';
import type { SignedRequest } from '../../src/multipart/workers/worker-protocol.ts';
import { settledSettings } from '../../src/requests/plain-client.ts';
import { withLeanBody } from '../../src/s3-command.ts';

const checksum = 'AAAAAA==';
const bytes = Buffer.alloc(100, 7);

function newClient(config: ConstructorParameters<typeof S3Client>[0] = {}): S3Client {
  return new S3Client({
    region: 'eu-central-1',
    endpoint: 'https://s3.example.com:8443',
    credentials: { accessKeyId: 'AKIAEXAMPLE', secretAccessKey: 'secret' },
    ...config,
  });
}

/** Signs parts, and counts those that the client had to make. */
class Signing {
  readonly client: S3Client;
  readonly #signer: PartSigner;
  readonly #input: Partial<UploadPartCommandInput>;
  byClient = 0;

  constructor(client: S3Client, input: Partial<UploadPartCommandInput> = {}) {
    this.client = client;
    this.#signer = new PartSigner(client);
    this.#input = input;
  }

  command(number: number): UploadPartCommand {
    return withLeanBody(
      new UploadPartCommand({
        Bucket: 'bucket',
        Key: 'a key/with (all) kinds+of=names&ü',
        UploadId: 'an/id=&?',
        PartNumber: number,
        Body: bytes,
        ContentLength: bytes.length,
        ChecksumCRC32: checksum,
        ...this.#input,
      }),
    );
  }

  sign(number: number): Promise<SignedRequest> {
    return this.#signer.sign({ number, bytes, checksum }, () => {
      this.byClient += 1;
      return this.command(number);
    });
  }
}

/** What must be equal whoever has made a request in the same second; the SDK counts its attempts in headers of its own. */
function essence({ headers, ...rest }: SignedRequest): object {
  const kept = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const);
  return {
    ...rest,
    headers: Object.fromEntries(
      kept.filter(([name]) => !name.startsWith('amz-sdk-') && name !== 'authorization').sort(),
    ),
  };
}

/** Tries again where a second ended in between. */
async function inOneSecond(check: () => Promise<readonly [SignedRequest, SignedRequest]>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const [own, theirs] = await check();
    if (own.headers['x-amz-date'] !== theirs.headers['x-amz-date'] && attempt < 5) continue;
    assert.deepEqual(essence(own), essence(theirs));
    return;
  }
}

describe('the requests of parts', () => {
  let signing: Signing;
  before(async () => {
    signing = new Signing(newClient());
    await signing.sign(1);
  });

  test('a request has the time for connecting that the client has, whoever made it', async () => {
    const signing = new Signing(newClient({ requestHandler: { connectionTimeout: 1234 } }));
    await settledSettings(signing.client.config.requestHandler);
    const requests = [await signing.sign(1), await signing.sign(2)];
    assert.deepEqual([signing.byClient, ...requests.map(({ connectTimeout }) => connectTimeout)], [1, 1234, 1234]);
  });

  test('are made by the client once, and after its example from then on, however many there are', async () => {
    for (let number = 2; number <= 1000; number++) await signing.sign(number);
    assert.equal(signing.byClient, 1);
  });

  test('are those that the client would have made', async () => {
    for (const number of [1, 2, 19, 10_000]) {
      await inOneSecond(async () => [
        await signing.sign(number),
        signedRequest(await catchSigned(signing.client, signing.command(number))),
      ]);
    }
    assert.equal(signing.byClient, 1);
  });

  test('each have a signature of their own', async () => {
    const signatures = await Promise.all([2, 3, 4].map(async (number) => (await signing.sign(number)).headers));
    assert.equal(new Set(signatures.map(({ authorization }) => authorization)).size, 3);
  });

  test('are signed by whoever the client is by then', async () => {
    let accessKeyId = 'AKIAFIRST';
    const credentials = async (): Promise<{ accessKeyId: string; secretAccessKey: string; expiration: Date }> => ({
      accessKeyId,
      secretAccessKey: 'secret',
      // Soon enough that the client asks for new ones each time.
      expiration: new Date(Date.now() + 1000),
    });
    const rotating = new Signing(newClient({ credentials }));
    await rotating.sign(1);
    accessKeyId = 'AKIASECOND';
    const { headers } = await rotating.sign(2);
    assert.match(headers.authorization ?? '', /Credential=AKIASECOND\//);
    assert.equal(rotating.byClient, 1);
  });

  test('go to wherever the client sends by then', async () => {
    let hostname = 's3.example.com';
    let region = 'eu-central-1';
    const endpoint = async () => ({ protocol: 'https:', hostname, path: '/' });
    const moving = new Signing(newClient({ endpoint, region: async () => region, forcePathStyle: true }));
    for (let number = 1; number <= 3; number++) await moving.sign(number);
    assert.equal(moving.byClient, 1);
    hostname = 's3.example.org';
    for (let number = 4; number <= 6; number++)
      assert.deepEqual((await moving.sign(number)).hostname, hostname, `part ${number}`);
    assert.equal(moving.byClient, 2);
    region = 'eu-west-1';
    assert.match((await moving.sign(7)).headers.authorization ?? '', /\/eu-west-1\/s3\//);
  });
});

describe('the client makes every request itself', () => {
  const kinds: Record<string, () => Signing> = {
    'where somebody has put a middleware into it': () => {
      const client = newClient();
      client.middlewareStack.add((next) => (args) => next(args), { step: 'build', name: 'theirs' });
      return new Signing(client);
    },
    'where a header is a secret, or unknown': () =>
      new Signing(newClient(), {
        SSECustomerAlgorithm: 'AES256',
        SSECustomerKey: Buffer.alloc(32, 1).toString('base64'),
        SSECustomerKeyMD5: 'x',
      }),
    'where it signs in another way': () =>
      new Signing(
        newClient({
          signer: { sign: async (request) => Object.assign(request, { headers: { authorization: 'ours' } }) },
        }),
      ),
  };
  for (const [name, newSigning] of Object.entries(kinds)) {
    test(name, async () => {
      const signing = newSigning();
      for (let number = 1; number <= 5; number++) await signing.sign(number);
      assert.equal(signing.byClient, 5);
    });
  }
});
