import assert from 'node:assert/strict';
import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import { suite, test } from 'node:test';
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateGrantCommand,
  CreateKeyCommand,
  type CreateKeyCommandInput,
  DecryptCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GenerateDataKeyWithoutPlaintextCommand,
  GenerateRandomCommand,
  GetKeyPolicyCommand,
  GetKeyRotationStatusCommand,
  GetPublicKeyCommand,
  type KMSClient,
  ListAliasesCommand,
  ListGrantsCommand,
  ListKeyRotationsCommand,
  ListKeysCommand,
  PutKeyPolicyCommand,
  ReEncryptCommand,
  ReplicateKeyCommand,
  RevokeGrantCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { failure, skipWithoutKms, useTarget } from './target.ts';

suite('KMS', () => {
  const target = useTarget();

  async function newKey(kms: KMSClient, input: CreateKeyCommandInput = {}): Promise<{ id: string; arn: string }> {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand(input));
    return { id: KeyMetadata!.KeyId!, arn: KeyMetadata!.Arn! };
  }

  let aliases = 0;
  const aliasName = (): string => `alias/test-${process.pid}-${Date.now()}-${++aliases}`;

  test('a data key comes twice, plain and wrapped, and Decrypt gives back what was wrapped', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    const EncryptionContext = { purpose: 'test', 'aws:x-amz-cek-alg': '115', ünï: 'cødé' };
    const made = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256', EncryptionContext }));
    assert.equal(made.KeyId, key.arn);
    assert.equal(made.Plaintext?.length, 32);
    const opened = await kms.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, EncryptionContext }));
    assert.deepEqual(Buffer.from(opened.Plaintext!), Buffer.from(made.Plaintext));
    assert.equal(opened.KeyId, key.arn);
    assert.equal(opened.EncryptionAlgorithm, 'SYMMETRIC_DEFAULT');
    const again = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256', EncryptionContext }));
    assert.notDeepEqual(Buffer.from(again.Plaintext!), Buffer.from(made.Plaintext));
    const short = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, NumberOfBytes: 7 }));
    assert.equal(short.Plaintext?.length, 7);
    const wrapped = await kms.send(new GenerateDataKeyWithoutPlaintextCommand({ KeyId: key.id, KeySpec: 'AES_128' }));
    const unwrapped = await kms.send(new DecryptCommand({ CiphertextBlob: wrapped.CiphertextBlob }));
    assert.equal(unwrapped.Plaintext?.length, 16);
  });

  test('another context, a part of it, more than it, or a changed byte is InvalidCiphertextException', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    const EncryptionContext = { a: '1', b: '2' };
    const { CiphertextBlob } = await kms.send(
      new EncryptCommand({ KeyId: key.id, Plaintext: Buffer.from('secret'), EncryptionContext }),
    );
    const reordered = await kms.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: { b: '2', a: '1' } }));
    assert.equal(Buffer.from(reordered.Plaintext!).toString(), 'secret');
    const damaged = Buffer.from(CiphertextBlob!);
    damaged[damaged.length - 1]! ^= 1;
    for (const call of [
      new DecryptCommand({ CiphertextBlob }),
      new DecryptCommand({ CiphertextBlob, EncryptionContext: { a: '1' } }),
      new DecryptCommand({ CiphertextBlob, EncryptionContext: { ...EncryptionContext, c: '3' } }),
      new DecryptCommand({ CiphertextBlob, EncryptionContext: { a: '2', b: '1' } }),
      new DecryptCommand({ CiphertextBlob: damaged, EncryptionContext }),
      new DecryptCommand({ CiphertextBlob: Buffer.from('no ciphertext at all'), EncryptionContext }),
    ]) {
      const failed = await failure(kms.send(call));
      assert.deepEqual([failed.name, failed.status], ['InvalidCiphertextException', 400]);
    }
  });

  test('a key is known by its id, its ARN, an alias and the ARN of an alias', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms, { Description: 'of four names' });
    const alias = aliasName();
    await kms.send(new CreateAliasCommand({ AliasName: alias, TargetKeyId: key.id }));
    const aliasArn = key.arn.replace(/key\/.*/, alias);
    for (const KeyId of [key.id, key.arn, alias, aliasArn]) {
      const described = await kms.send(new DescribeKeyCommand({ KeyId }));
      assert.equal(described.KeyMetadata?.Arn, key.arn);
      const made = await kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
      assert.equal(made.KeyId, key.arn);
      await kms.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, KeyId }));
    }
    const { KeyMetadata } = await kms.send(new DescribeKeyCommand({ KeyId: key.id }));
    assert.equal(KeyMetadata?.Description, 'of four names');
    assert.equal(KeyMetadata?.KeyState, 'Enabled');
    assert.equal(KeyMetadata?.KeySpec, 'SYMMETRIC_DEFAULT');
    assert.equal(KeyMetadata?.KeyUsage, 'ENCRYPT_DECRYPT');
    assert.deepEqual(KeyMetadata?.EncryptionAlgorithms, ['SYMMETRIC_DEFAULT']);
  });

  test('a name that no key has is NotFoundException, in words that tell how', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    const account = key.arn.split(':')[4]!;
    const absent = '00000000-0000-4000-8000-000000000000';
    const cases = [
      ['abc', /Invalid keyId '?abc'?/],
      [absent, new RegExp(`Key '?arn:aws:kms:${target.region}:${account}:key/${absent}'? does not exist`)],
      ['alias/not-there', /Alias arn:aws:kms:.*:alias\/not-there is not found\./],
      [key.arn.replace(`:${target.region}:`, ':eu-north-1:'), /Invalid arn eu-north-1/],
    ] as const;
    for (const [KeyId, message] of cases) {
      const failed = await failure(kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' })));
      assert.deepEqual([failed.name, failed.status], ['NotFoundException', 400], KeyId);
      assert.match(failed.message, message);
    }
  });

  test('Decrypt with another key than the ciphertext was made with is IncorrectKeyException', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const [one, two] = [await newKey(kms), await newKey(kms)];
    const { CiphertextBlob } = await kms.send(new GenerateDataKeyCommand({ KeyId: one.id, KeySpec: 'AES_256' }));
    const failed = await failure(kms.send(new DecryptCommand({ CiphertextBlob, KeyId: two.id })));
    assert.deepEqual([failed.name, failed.status], ['IncorrectKeyException', 400]);
    assert.equal(failed.message, 'The key ID in the request does not identify a CMK that can perform this operation.');
  });

  test('a disabled key does nothing until it is enabled again', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    const { CiphertextBlob } = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' }));
    await kms.send(new DisableKeyCommand({ KeyId: key.id }));
    for (const call of [
      () => kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' })),
      () => kms.send(new DecryptCommand({ CiphertextBlob })),
    ]) {
      const failed = await failure(call());
      assert.equal(failed.name, 'DisabledException');
      assert.equal(failed.message, `${key.arn} is disabled.`);
    }
    await kms.send(new EnableKeyCommand({ KeyId: key.id }));
    await kms.send(new DecryptCommand({ CiphertextBlob }));
  });

  test('a key is deleted after 7 to 30 days, does nothing meanwhile, and can be kept', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    const { CiphertextBlob } = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' }));
    for (const PendingWindowInDays of [6, 31]) {
      const failed = await failure(kms.send(new ScheduleKeyDeletionCommand({ KeyId: key.id, PendingWindowInDays })));
      assert.equal(failed.name, 'ValidationException');
    }
    const scheduled = await kms.send(new ScheduleKeyDeletionCommand({ KeyId: key.id, PendingWindowInDays: 7 }));
    assert.equal(scheduled.KeyState, 'PendingDeletion');
    assert.ok(Math.abs(scheduled.DeletionDate!.getTime() - Date.now() - 7 * 24 * 3600_000) < 60_000);
    const failed = await failure(kms.send(new DecryptCommand({ CiphertextBlob })));
    assert.equal(failed.name, 'KMSInvalidStateException');
    assert.equal(failed.message, `${key.arn} is pending deletion.`);
    await kms.send(new CancelKeyDeletionCommand({ KeyId: key.id }));
    assert.equal((await failure(kms.send(new DecryptCommand({ CiphertextBlob })))).name, 'DisabledException');
    await kms.send(new EnableKeyCommand({ KeyId: key.id }));
    await kms.send(new DecryptCommand({ CiphertextBlob }));
  });

  test('a ciphertext is moved to another key and context without its plaintext', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const [from, to] = [await newKey(kms), await newKey(kms)];
    const made = await kms.send(
      new GenerateDataKeyCommand({ KeyId: from.id, KeySpec: 'AES_256', EncryptionContext: { old: '1' } }),
    );
    const moved = await kms.send(
      new ReEncryptCommand({
        CiphertextBlob: made.CiphertextBlob,
        SourceKeyId: from.arn,
        SourceEncryptionContext: { old: '1' },
        DestinationKeyId: to.id,
        DestinationEncryptionContext: { new: '2' },
      }),
    );
    assert.deepEqual([moved.SourceKeyId, moved.KeyId], [from.arn, to.arn]);
    const opened = await kms.send(
      new DecryptCommand({ CiphertextBlob: moved.CiphertextBlob, KeyId: to.id, EncryptionContext: { new: '2' } }),
    );
    assert.deepEqual(Buffer.from(opened.Plaintext!), Buffer.from(made.Plaintext!));
    const wrong = await failure(
      kms.send(
        new ReEncryptCommand({ CiphertextBlob: made.CiphertextBlob, SourceKeyId: to.id, DestinationKeyId: from.id }),
      ),
    );
    assert.equal(wrong.name, 'IncorrectKeyException');
  });

  test('an RSA key encrypts, for everybody who has its public key, and makes no data keys', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms, { KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' });
    const published = await kms.send(new GetPublicKeyCommand({ KeyId: key.id }));
    assert.deepEqual(published.EncryptionAlgorithms, ['RSAES_OAEP_SHA_1', 'RSAES_OAEP_SHA_256']);
    const publicKey = createPublicKey({ key: Buffer.from(published.PublicKey!), format: 'der', type: 'spki' });
    for (const [EncryptionAlgorithm, oaepHash] of [
      ['RSAES_OAEP_SHA_1', 'sha1'],
      ['RSAES_OAEP_SHA_256', 'sha256'],
    ] as const) {
      const padding = constants.RSA_PKCS1_OAEP_PADDING;
      const CiphertextBlob = publicEncrypt({ key: publicKey, padding, oaepHash }, Buffer.from('by hand'));
      const opened = await kms.send(new DecryptCommand({ KeyId: key.id, CiphertextBlob, EncryptionAlgorithm }));
      assert.equal(Buffer.from(opened.Plaintext!).toString(), 'by hand');
      const made = await kms.send(
        new EncryptCommand({ KeyId: key.id, Plaintext: Buffer.from('by KMS'), EncryptionAlgorithm }),
      );
      const back = await kms.send(
        new DecryptCommand({ KeyId: key.id, CiphertextBlob: made.CiphertextBlob, EncryptionAlgorithm }),
      );
      assert.equal(Buffer.from(back.Plaintext!).toString(), 'by KMS');
    }
    const failed = await failure(kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' })));
    assert.equal(failed.name, 'InvalidKeyUsageException');
    assert.equal(failed.message, 'You cannot generate a data key with an asymmetric CMK');
  });

  test('requests that make no sense are ValidationException', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    for (const call of [
      new GenerateDataKeyCommand({ KeyId: key.id }),
      new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256', NumberOfBytes: 32 }),
      new GenerateDataKeyCommand({ KeyId: key.id, NumberOfBytes: 1025 }),
    ]) {
      assert.equal((await failure(kms.send(call))).name, 'ValidationException');
    }
    const long = await failure(kms.send(new EncryptCommand({ KeyId: key.id, Plaintext: Buffer.alloc(4097) })));
    assert.equal(long.name, 'ValidationException');
  });

  test('random bytes come in any number up to 1024', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const one = await kms.send(new GenerateRandomCommand({ NumberOfBytes: 1024 }));
    const two = await kms.send(new GenerateRandomCommand({ NumberOfBytes: 1024 }));
    assert.equal(one.Plaintext?.length, 1024);
    assert.notDeepEqual(one.Plaintext, two.Plaintext);
  });

  test('aliases are made once, moved, listed and removed', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const [one, two] = [await newKey(kms), await newKey(kms)];
    const AliasName = aliasName();
    await kms.send(new CreateAliasCommand({ AliasName, TargetKeyId: one.id }));
    const twice = await failure(kms.send(new CreateAliasCommand({ AliasName, TargetKeyId: two.id })));
    assert.equal(twice.name, 'AlreadyExistsException');
    await kms.send(new UpdateAliasCommand({ AliasName, TargetKeyId: two.id }));
    assert.equal((await kms.send(new DescribeKeyCommand({ KeyId: AliasName }))).KeyMetadata?.KeyId, two.id);
    const listed = await kms.send(new ListAliasesCommand({ KeyId: two.id }));
    assert.deepEqual(
      listed.Aliases?.map((alias) => alias.AliasName),
      [AliasName],
    );
    await kms.send(new DeleteAliasCommand({ AliasName }));
    assert.equal((await failure(kms.send(new DescribeKeyCommand({ KeyId: AliasName })))).name, 'NotFoundException');
  });

  test('keys are listed in pages', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const made = [await newKey(kms), await newKey(kms), await newKey(kms)];
    const seen: string[] = [];
    let Marker: string | undefined;
    do {
      const page = await kms.send(new ListKeysCommand({ Limit: 2, Marker }));
      seen.push(...page.Keys!.map((key) => key.KeyArn!));
      Marker = page.NextMarker;
    } while (Marker !== undefined);
    for (const { arn } of made) assert.ok(seen.includes(arn));
    assert.equal(new Set(seen).size, seen.length);
  });

  test('what an earlier key material encrypted is opened after a rotation', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    const before = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' }));
    await kms.send(new RotateKeyOnDemandCommand({ KeyId: key.id }));
    const after = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' }));
    for (const made of [before, after]) {
      const opened = await kms.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob }));
      assert.deepEqual(Buffer.from(opened.Plaintext!), Buffer.from(made.Plaintext!));
    }
    assert.equal((await kms.send(new ListKeyRotationsCommand({ KeyId: key.id }))).Rotations?.length, 1);
    await kms.send(new EnableKeyRotationCommand({ KeyId: key.id, RotationPeriodInDays: 100 }));
    const status = await kms.send(new GetKeyRotationStatusCommand({ KeyId: key.id }));
    assert.deepEqual([status.KeyRotationEnabled, status.RotationPeriodInDays], [true, 100]);
  });

  test('a multi-Region key opens in each of its regions what another of them encrypted; other keys do not', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const abroad = target.kms({ region: 'eu-central-1' });
    const key = await newKey(kms, { MultiRegion: true });
    assert.match(key.id, /^mrk-[0-9a-f]{32}$/);
    await kms.send(new ReplicateKeyCommand({ KeyId: key.id, ReplicaRegion: 'eu-central-1' }));
    const made = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' }));
    const opened = await abroad.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob, KeyId: key.id }));
    assert.deepEqual(Buffer.from(opened.Plaintext!), Buffer.from(made.Plaintext!));
    assert.equal(opened.KeyId, key.arn.replace(`:${target.region}:`, ':eu-central-1:'));
    const single = await newKey(kms);
    const bound = await kms.send(new GenerateDataKeyCommand({ KeyId: single.id, KeySpec: 'AES_256' }));
    const failed = await failure(abroad.send(new DecryptCommand({ CiphertextBlob: bound.CiphertextBlob })));
    assert.equal(failed.name, 'AccessDeniedException');
    assert.equal((await failure(abroad.send(new DescribeKeyCommand({ KeyId: single.id })))).name, 'NotFoundException');
  });

  test('a key policy that denies an action, or allows nobody, is AccessDeniedException', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    const made = await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' }));
    const { Policy } = await kms.send(new GetKeyPolicyCommand({ KeyId: key.id }));
    const policy = JSON.parse(Policy!) as { Statement: unknown[] };
    policy.Statement.push({ Effect: 'Deny', Principal: '*', Action: 'kms:Decrypt', Resource: '*' });
    await kms.send(new PutKeyPolicyCommand({ KeyId: key.id, Policy: JSON.stringify(policy) }));
    await kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' }));
    const failed = await failure(kms.send(new DecryptCommand({ CiphertextBlob: made.CiphertextBlob })));
    assert.deepEqual([failed.name, failed.status], ['AccessDeniedException', 400]);
    assert.match(
      failed.message,
      /^User: arn:aws:iam::\d+:user\/\S+ is not authorized to perform: kms:Decrypt on resource: arn:aws:kms:/,
    );
  });

  test('a grant allows what a policy does not, within its context, until it is revoked', async (context) => {
    if (skipWithoutKms(context)) return;
    const kms = target.kms();
    const key = await newKey(kms);
    const account = key.arn.split(':')[4]!;
    const refused = await (async () => {
      const { Policy } = await kms.send(new GetKeyPolicyCommand({ KeyId: key.id }));
      const policy = JSON.parse(Policy!) as { Statement: { Action: unknown }[] };
      policy.Statement[0]!.Action = ['kms:CreateGrant', 'kms:ListGrants', 'kms:RevokeGrant', 'kms:PutKeyPolicy'];
      await kms.send(new PutKeyPolicyCommand({ KeyId: key.id, Policy: JSON.stringify(policy) }));
      return failure(kms.send(new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256' })));
    })();
    assert.equal(refused.name, 'AccessDeniedException');
    const me = /user\/(\S+)/.exec(refused.message)?.[1];
    const { GrantId } = await kms.send(
      new CreateGrantCommand({
        KeyId: key.id,
        GranteePrincipal: `arn:aws:iam::${account}:user/${me}`,
        Operations: ['GenerateDataKey'],
        Constraints: { EncryptionContextSubset: { team: 'a' } },
      }),
    );
    const use = (team: string) =>
      kms.send(
        new GenerateDataKeyCommand({ KeyId: key.id, KeySpec: 'AES_256', EncryptionContext: { team, more: 'x' } }),
      );
    await use('a');
    assert.equal((await failure(use('b'))).name, 'AccessDeniedException');
    assert.equal((await kms.send(new ListGrantsCommand({ KeyId: key.id }))).Grants?.length, 1);
    await kms.send(new RevokeGrantCommand({ KeyId: key.id, GrantId }));
    assert.equal((await failure(use('a'))).name, 'AccessDeniedException');
  });

  test('an operation that is not there is refused by name', async (context) => {
    if (skipWithoutKms(context)) return;
    const answer = await target.raw({
      method: 'POST',
      path: '/',
      service: 'kms',
      headers: { 'x-amz-target': 'TrentService.GenerateMac', 'content-type': 'application/x-amz-json-1.1' },
      body: '{}',
    });
    assert.equal(answer.status, 501);
    assert.match(answer.text, /GenerateMac/);
  });
});
