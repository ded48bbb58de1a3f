import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { suite, test } from 'node:test';
import { DecryptCommand, GenerateDataKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  CreateBucketCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { type LocalEndpoint, type LocalEndpointOptions, startLocalEndpoint } from '../../src/local/index.ts';
import { failure, MiB, pattern } from './conformance/target.ts';

const Bucket = 'endpoint';

async function withEndpoint(
  options: LocalEndpointOptions,
  use: (local: LocalEndpoint, s3: S3Client) => Promise<void>,
): Promise<void> {
  const local = await startLocalEndpoint(options);
  const s3 = new S3Client({ ...local.s3Config, maxAttempts: 1 });
  try {
    await use(local, s3);
  } finally {
    s3.destroy();
    await local.close();
  }
}

suite('an endpoint', () => {
  test('says where it is and how to reach it, and is gone when closed', async () => {
    const local = await startLocalEndpoint();
    assert.match(local.endpoint, /^http:\/\/127\.0\.0\.1:\d+$/);
    assert.equal(local.endpoint, `http://127.0.0.1:${local.port}`);
    assert.equal(local.region, 'us-east-1');
    assert.equal(local.accountId, '000000000000');
    // The configurations are what the clients take, which the compiler checks here.
    const config: S3ClientConfig = local.s3Config;
    const s3 = new S3Client(config);
    await s3.send(new CreateBucketCommand({ Bucket }));
    assert.ok(existsSync(local.dir));
    const described = (await (await fetch(`${local.endpoint}/_sealpipe`)).json()) as Record<string, unknown>;
    assert.equal(described['product'], 'sealpipe local');
    assert.match(String(described['version']), /^\d+\.\d+\.\d+/);
    assert.equal(described['region'], 'us-east-1');
    assert.equal(described['control'], false);
    s3.destroy();
    await local.close();
    await local.close();
    assert.ok(!existsSync(local.dir), 'the temporary folder is removed');
    await assert.rejects(fetch(`${local.endpoint}/_sealpipe`));
  });

  test('is disposed of at the end of a block', async () => {
    let endpoint: string;
    {
      await using local = await startLocalEndpoint();
      endpoint = local.endpoint;
    }
    await assert.rejects(fetch(`${endpoint}/_sealpipe`));
  });

  test('close lets a request finish, and cuts one that does not', async () => {
    const local = await startLocalEndpoint();
    const s3 = new S3Client({ ...local.s3Config, maxAttempts: 1 });
    await s3.send(new CreateBucketCommand({ Bucket }));
    local.faults.add({ operation: 'HeadBucket', delay: 100 });
    const finishing = s3.send(new HeadBucketCommand({ Bucket }));
    while (local.requests.active === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    await Promise.all([finishing, local.close()]);
    s3.destroy();

    const other = await startLocalEndpoint();
    const slow = new S3Client({ ...other.s3Config, maxAttempts: 1 });
    await slow.send(new CreateBucketCommand({ Bucket }));
    await slow.send(new PutObjectCommand({ Bucket, Key: 'k', Body: pattern(100_000) }));
    other.faults.add({ operation: 'GetObject', stallResponseAfter: 10 });
    const got = await slow.send(new GetObjectCommand({ Bucket, Key: 'k' }));
    const reading = failure(got.Body!.transformToByteArray());
    await other.close({ graceMs: 50 });
    await reading;
    slow.destroy();
  });

  test('over TLS it is trusted with its CA, by path, by bucket name before .localhost, and for large bodies', async () => {
    await withEndpoint({ tls: true }, async (local, s3) => {
      assert.match(local.endpoint, /^https:\/\/localhost:\d+$/);
      await s3.send(new CreateBucketCommand({ Bucket }));
      await new Upload({ client: s3, params: { Bucket, Key: 'big', Body: pattern(6 * MiB) } }).done();
      const stranger = new S3Client({ ...local.s3Config, requestHandler: {}, maxAttempts: 1 });
      const failed = await failure(stranger.send(new HeadBucketCommand({ Bucket })));
      assert.match(String(failed.code), /SELF_SIGNED|UNABLE_TO_VERIFY/);
      stranger.destroy();
      for (const servername of ['localhost', `${Bucket}.localhost`, `${Bucket}.s3.localhost`]) {
        const agent = new TlsAgent({ ca: local.ca! });
        const status = await new Promise<number>((resolve, reject) => {
          tlsRequest({ host: '127.0.0.1', port: local.port, servername, path: '/_sealpipe', agent }, (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          })
            .on('error', reject)
            .end();
        });
        assert.equal(status, 200, servername);
        agent.destroy();
      }
      // By address as well.
      const agent = new TlsAgent({ ca: local.ca! });
      await new Promise<void>((resolve, reject) => {
        tlsRequest({ host: '127.0.0.1', port: local.port, path: '/_sealpipe', agent }, (response) => {
          response.resume();
          resolve();
        })
          .on('error', reject)
          .end();
      });
      agent.destroy();
    });
  });

  test('over TLS a connection is cut where a rule says so, too', async () => {
    await withEndpoint({ tls: true }, async (local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      const body = pattern(300_000);
      await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: body }));
      for (const rule of [{ resetRequestAfter: 0 }, { resetResponseAfter: 0 }, { loseAnswer: true }]) {
        local.faults.set([{ operation: 'GetObject', ...rule }]);
        const failed = await failure(s3.send(new GetObjectCommand({ Bucket, Key: 'k' })));
        assert.match(`${failed.code} ${failed.message}`, /ECONNRESET|socket hang up/);
      }
      for (const rule of [{ resetResponseAfter: 1000 }, { truncateAfter: 1000 }]) {
        local.faults.set([{ operation: 'GetObject', ...rule }]);
        const got = await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }));
        const failed = await failure(got.Body!.transformToByteArray());
        assert.match(`${failed.code} ${failed.message}`, /ECONNRESET|aborted/);
      }
    });
  });

  test('SSE-C keys go over TLS alone, unless this machine is trusted', async () => {
    const key = Buffer.alloc(32, 1);
    const customer = {
      SSECustomerAlgorithm: 'AES256',
      SSECustomerKey: key.toString('base64'),
      SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
    };
    const put = new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ...customer });
    await withEndpoint({}, async (_local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      const failed = await failure(s3.send(put));
      assert.deepEqual([failed.name, failed.status], ['InvalidRequest', 400]);
      assert.match(failed.message, /must be made over a secure connection/);
    });
    for (const options of [{ tls: true }, { allowInsecureLoopback: true }]) {
      await withEndpoint(options, async (_local, s3) => {
        await s3.send(new CreateBucketCommand({ Bucket }));
        await s3.send(put);
      });
    }
    await withEndpoint({ tls: true, blockSseC: true }, async (_local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      assert.equal((await failure(s3.send(put))).name, 'AccessDenied');
    });
  });

  test('several key pairs are accepted, sessions only with their token and until they expire', async () => {
    const expiration = new Date(Date.now() + 3000);
    const credentials = [
      { accessKeyId: 'FIRST', secretAccessKey: 'one' },
      { accessKeyId: 'SESSION', secretAccessKey: 'two', sessionToken: 'token/with+signs=' },
      { accessKeyId: 'SHORT', secretAccessKey: 'three', sessionToken: 't', expiration },
    ] as const;
    await withEndpoint({ credentials }, async (local, s3) => {
      assert.equal(local.credentials.accessKeyId, 'FIRST');
      await s3.send(new CreateBucketCommand({ Bucket }));
      const as = async (pair: {
        accessKeyId: string;
        secretAccessKey: string;
        sessionToken?: string;
      }): Promise<string[]> => {
        const client = new S3Client({ ...local.s3Config, credentials: pair, maxAttempts: 1 });
        const kms = new KMSClient({ ...local.kmsConfig, credentials: pair, maxAttempts: 1 });
        const outcomes = [
          client.send(new GetObjectCommand({ Bucket, Key: 'none' })),
          kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' })),
        ].map((call: Promise<unknown>) =>
          call.then(
            () => 'ok',
            (error: Error) => error.name,
          ),
        );
        const names = await Promise.all(outcomes);
        client.destroy();
        kms.destroy();
        return names;
      };
      assert.deepEqual(await as(credentials[0]), ['NoSuchKey', 'ok']);
      assert.deepEqual(await as(credentials[1]), ['NoSuchKey', 'ok']);
      assert.deepEqual(await as(credentials[2]), ['NoSuchKey', 'ok']);
      assert.deepEqual(await as({ ...credentials[1], sessionToken: 'other' }), [
        'InvalidToken',
        'UnrecognizedClientException',
      ]);
      assert.deepEqual(await as({ accessKeyId: 'SESSION', secretAccessKey: 'two' }), [
        'InvalidToken',
        'UnrecognizedClientException',
      ]);
      assert.deepEqual(await as({ accessKeyId: 'FIRST', secretAccessKey: 'two' }), [
        'SignatureDoesNotMatch',
        'InvalidSignatureException',
      ]);
      assert.deepEqual(await as({ accessKeyId: 'NOBODY', secretAccessKey: 'x' }), [
        'InvalidAccessKeyId',
        'UnrecognizedClientException',
      ]);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, expiration.getTime() - Date.now() + 20)));
      assert.deepEqual(await as(credentials[2]), ['ExpiredToken', 'ExpiredTokenException']);
    });
  });

  test('a key pair can be denied actions, of S3 and of KMS, also where S3 uses KMS', async () => {
    const pairs = [
      { accessKeyId: 'ADMIN', secretAccessKey: 'a' },
      { accessKeyId: 'READER', secretAccessKey: 'r', userName: 'reader', deny: ['s3:Put*', 'kms:GenerateDataKey'] },
      { accessKeyId: 'BLIND', secretAccessKey: 'b', userName: 'blind', deny: ['kms:Decrypt'] },
    ];
    await withEndpoint({ credentials: pairs }, async (local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      await s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'x', ServerSideEncryption: 'aws:kms' }));
      const reader = new S3Client({ ...local.s3Config, credentials: pairs[1]!, maxAttempts: 1 });
      await reader.send(new HeadObjectCommand({ Bucket, Key: 'k' }));
      const put = await failure(reader.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'y' })));
      assert.deepEqual([put.name, put.status], ['AccessDenied', 403]);
      assert.match(
        put.message,
        /^User: arn:aws:iam::000000000000:user\/reader is not authorized to perform: s3:PutObject on resource/,
      );
      const kms = new KMSClient({ ...local.kmsConfig, credentials: pairs[1]!, maxAttempts: 1 });
      const made = await failure(kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' })));
      assert.equal(made.name, 'AccessDeniedException');
      assert.match(made.message, /is not authorized to perform: kms:GenerateDataKey/);
      const blind = new S3Client({ ...local.s3Config, credentials: pairs[2]!, maxAttempts: 1 });
      const got = await failure(blind.send(new GetObjectCommand({ Bucket, Key: 'k' })));
      assert.deepEqual([got.name, got.status], ['AccessDenied', 403]);
      assert.match(got.message, /kms:Decrypt/);
      for (const client of [reader, kms, blind]) client.destroy();
    });
  });

  test('the region of a signature is checked where that is asked for', async () => {
    await withEndpoint({ region: 'eu-central-1', strictRegion: true }, async (local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      const abroad = new S3Client({ ...local.s3Config, region: 'us-west-2', maxAttempts: 1 });
      const failed = await failure(abroad.send(new GetObjectCommand({ Bucket, Key: 'k' })));
      assert.deepEqual([failed.name, failed.status], ['AuthorizationHeaderMalformed', 400]);
      assert.match(failed.message, /the region 'us-west-2' is wrong; expecting 'eu-central-1'/);
      abroad.destroy();
    });
  });

  test('a key is made for its alias when that is first used, and for no other name', async () => {
    await withEndpoint({}, async (local) => {
      const kms = new KMSClient({ ...local.kmsConfig, maxAttempts: 1 });
      const made = await kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' }));
      const again = await kms.send(
        new DecryptCommand({ KeyId: 'alias/sealpipe', CiphertextBlob: made.CiphertextBlob }),
      );
      assert.equal(again.KeyId, made.KeyId);
      const other = await failure(kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/other', KeySpec: 'AES_256' })));
      assert.equal(other.name, 'NotFoundException');
      kms.destroy();
    });
    await withEndpoint({ createAliases: [] }, async (local) => {
      const kms = new KMSClient({ ...local.kmsConfig, maxAttempts: 1 });
      assert.equal(
        (await failure(kms.send(new GenerateDataKeyCommand({ KeyId: 'alias/sealpipe', KeySpec: 'AES_256' })))).name,
        'NotFoundException',
      );
      kms.destroy();
    });
  });

  test('small parts, raw metadata, random ETags and a default checksum can be had', async () => {
    await withEndpoint(
      { minimumPartBytes: 1, metadata: 'raw', etags: 'random', defaultChecksum: true },
      async (local, s3) => {
        await s3.send(new CreateBucketCommand({ Bucket }));
        const plain = new S3Client({ ...local.s3Config, requestChecksumCalculation: 'WHEN_REQUIRED' });
        const utf8 = Buffer.from('grüße', 'utf8').toString('latin1');
        const put = await plain.send(
          new PutObjectCommand({ Bucket, Key: 'k', Body: Buffer.from('123456789'), Metadata: { text: utf8 } }),
        );
        assert.notEqual(put.ETag, `"${createHash('md5').update('123456789').digest('hex')}"`);
        const head = await plain.send(new HeadObjectCommand({ Bucket, Key: 'k', ChecksumMode: 'ENABLED' }));
        assert.equal(head.ChecksumCRC64NVME, Buffer.from('ae8b14860a799888', 'hex').toString('base64'));
        assert.equal(Buffer.from(head.Metadata!['text']!, 'latin1').toString('utf8'), 'grüße');
        plain.destroy();
      },
    );
  });

  test('latency and bandwidth hold for every request and each connection', async () => {
    await withEndpoint({ latency: 60, bandwidth: { up: 4e6, down: 8e6 } }, async (_local, s3) => {
      await s3.send(new CreateBucketCommand({ Bucket }));
      const timed = async (call: () => Promise<unknown>): Promise<number> => {
        const started = performance.now();
        await call();
        return performance.now() - started;
      };
      const body = pattern(800_000);
      const head = await timed(() => s3.send(new HeadBucketCommand({ Bucket })));
      assert.ok(head >= 58, `HEAD took ${head}`);
      const put = await timed(() => s3.send(new PutObjectCommand({ Bucket, Key: 'k', Body: body })));
      assert.ok(put >= 240, `PUT took ${put}, expected about 260`);
      const get = await timed(async () =>
        (await s3.send(new GetObjectCommand({ Bucket, Key: 'k' }))).Body!.transformToByteArray(),
      );
      assert.ok(get >= 150, `GET took ${get}, expected about 160`);
      // Two connections have twice the bandwidth.
      const both = async (): Promise<number> =>
        timed(() => Promise.all(['a', 'b'].map((Key) => s3.send(new PutObjectCommand({ Bucket, Key, Body: body })))));
      // The quickest of three: a machine that is busy with something else proves nothing.
      const quickest = Math.min(await both(), await both(), await both());
      assert.ok(quickest < 1.7 * put, `two took ${quickest}, one ${put}`);
    });
  });

  test('options that make no sense are refused at once', async () => {
    const wrong: [LocalEndpointOptions, ErrorConstructor][] = [
      [{ port: -1 }, RangeError],
      [{ port: 70_000 }, RangeError],
      [{ port: 1.5 }, RangeError],
      [{ latency: -1 }, RangeError],
      [{ latency: '5' as unknown as number }, TypeError],
      [{ bandwidth: 0 }, RangeError],
      [{ accountId: '12' }, RangeError],
      [{ credentials: [] }, RangeError],
      [{ credentials: {} as never }, TypeError],
      [
        {
          credentials: [
            { accessKeyId: 'a', secretAccessKey: 'b' },
            { accessKeyId: 'a', secretAccessKey: 'c' },
          ],
        },
        RangeError,
      ],
      [{ metadata: 'x' as 's3' }, RangeError],
      [{ etags: 'x' as 'md5' }, RangeError],
      [{ minimumPartBytes: -5 }, RangeError],
      [{ createAliases: ['no-alias'] }, RangeError],
    ];
    for (const [options, kind] of wrong) {
      await assert.rejects(startLocalEndpoint(options), (error) => error instanceof kind, JSON.stringify(options));
    }
  });

  test('a port that is taken is told so', async () => {
    await withEndpoint({}, async (local) => {
      await assert.rejects(startLocalEndpoint({ port: local.port }), {
        code: 'ERR_SEALPIPE_NETWORK',
        message: new RegExp(`port ${local.port}`),
      });
    });
  });
});
