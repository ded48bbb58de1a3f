import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { z } from 'zod';
import * as schemas from '../../src/cli/schemas.ts';
import { fixture, projectRoot } from '../support/project.ts';
import { CommandLine } from './command-line.ts';

const line = await CommandLine.start();
const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string };

describe('usage', { concurrency: 3 }, () => {
  test('--version prints the version of the package', async () => {
    assert.equal((await line.ok(['--version'])).stdout.toString(), `${version}\n`);
  });

  test('--help names every command, the exit statuses and examples', async () => {
    const help = (await line.ok(['--help'])).stdout.toString();
    for (const name of ['put', 'get', 'cat', 'ls', 'stat', 'rm', 'mb', 'rb', 'local', 'demo'])
      assert.match(help, new RegExp(`\\n {2}${name}\\b`));
    assert.match(help, /Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted/);
    assert.match(help, /Examples:/);
  });

  test('without arguments the help goes to stderr, as nothing was asked for', async () => {
    const { status, stdout, stderr } = await line.run([]);
    assert.deepEqual([status, stdout.length], [2, 0]);
    assert.match(stderr, /Usage: sealpipe/);
  });

  test('the help and the schema of every command', async (t) => {
    const names = ['put', 'get', 'cat', 'ls', 'stat', 'rm', 'mb', 'rb', 'local', 'demo'];
    const known = Object.entries(schemas).filter(([name]) => name !== 'progress');
    const lines = [...names.map((name) => [name, '--help']), ...known.map(([name]) => [name, '--json-schema'])];
    const outcomes = await line.runAll(lines);
    for (const [index, name] of names.entries()) {
      await t.test(`${name} --help groups its options and gives examples`, () => {
        const { status, stdout: help = '' } = outcomes[index] ?? {};
        assert.equal(status, 0);
        assert.match(help, new RegExp(`^Usage: sealpipe ${name}\\b`));
        assert.match(help, /\nOutput:\n/);
        assert.match(help, /\nExamples:\n/);
        assert.match(help, /Exit status:/);
      });
    }
    for (const [index, [name, schema]] of known.entries()) {
      await t.test(`${name} --json-schema prints the schema of its --json`, () => {
        const { status, stdout: printed = '' } = outcomes[names.length + index] ?? {};
        assert.equal(status, 0);
        assert.deepEqual(JSON.parse(printed), z.toJSONSchema(schema));
      });
    }
  });

  test('a mistyped command or option is wrong usage, with the nearest one', async () => {
    await line.fails(['putt'], { code: 'USAGE', message: /did you mean put\?/ });
    await line.fails(['put', 'f', 's3://bucket/k', '--part-sise', '5MiB'], {
      code: 'USAGE',
      message: /did you mean --part-size\?.*sealpipe put --help/,
    });
    await line.fails(['--jsonn'], { code: 'USAGE' });
  });

  const file = fixture('vectors/README.md');
  const aes = fixture('vectors/keys/aes256-a.hex');
  const wrong: [string, string[], RegExp][] = [
    ['too few operands', ['put', file], /expected <file\|-\.\.\.> <s3:/],
    ['too many operands', ['cat', 's3://bucket/a', 's3://bucket/b'], /one operand too many/],
    ['a destination that is no URL', ['put', file, 'bucket/key', '--aes-key-file', aes], /expected s3:\/\/bucket\/key/],
    ['a source in S3', ['put', 's3://bucket/a', 's3://bucket/b', '--aes-key-file', aes], /in S3 already/],
    ['put without a key', ['put', file, 's3://bucket/k'], /no key is given to encrypt with.*--kms-key-id/],
    ['get without a key', ['get', 's3://bucket/k', 'out'], /no key is given to decrypt with/],
    [
      'put without a key on a local folder',
      ['put', file, 's3://bucket/k', '--local', 'unused'],
      /--kms-key-id alias\/sealpipe \(made on first use\)/,
    ],
    [
      'two kinds of key',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--kms-key-id', 'alias/k'],
      /two kinds of key/,
    ],
    ['discovery without accounts', ['cat', 's3://bucket/k', '--kms-discovery'], /--kms-account/],
    [
      'an account without discovery',
      ['cat', 's3://bucket/k', '--kms-key-id', 'k', '--kms-account', '111122223333'],
      /goes with --kms-discovery/,
    ],
    [
      'a further key beside KMS',
      ['cat', 's3://bucket/k', '--kms-key-id', 'k', '--decryption-key', `a=b=${aes}`],
      /goes with AES and RSA keys/,
    ],
    [
      'a context with a raw key',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--encryption-context', 'a=b', ...line.here],
      /--materials-description/,
    ],
    [
      'a description with a KMS key',
      ['put', file, 's3://bucket/k', '--kms-key-id', 'alias/sealpipe', '--materials-description', 'a=b', ...line.here],
      /--encryption-context/,
    ],
    [
      'metadata under a name that no header can have',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--metadata', 'a b=1', ...line.here],
      /"a b" cannot be a name/,
    ],
    [
      'metadata outside of ASCII',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--metadata', 'a=漢字', ...line.here],
      /printable US-ASCII/,
    ],
    [
      'a key that leaves no room for its instruction file',
      [
        'put',
        file,
        `s3://bucket/${'k'.repeat(1020)}`,
        '--aes-key-file',
        aes,
        '--storage',
        'instruction-file',
        ...line.here,
      ],
      /instruction file has 1032 bytes/,
    ],
    ['an empty region', ['ls', 's3://bucket', '--region', ''], /expected a region, such as eu-central-1/],
    [
      'two files of one name',
      ['put', file, file, 's3://bucket/d/', '--aes-key-file', aes, ...line.here],
      /would both go to s3:/,
    ],
    ['a bucket of two letters', ['ls', 's3://ab'], /from 3 to 63/],
    [
      'a reserved name in the context',
      [
        'put',
        file,
        's3://bucket/k',
        '--kms-key-id',
        'alias/sealpipe',
        '--encryption-context',
        'aws:x-amz-cek-alg=x',
        ...line.here,
      ],
      /reserved/,
    ],
    [
      'a reserved name in the metadata',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--metadata', 'x-amz-iv=x', ...line.here],
      /name of the encryption envelope/,
    ],
    [
      'a format against its policy',
      [
        'put',
        file,
        's3://bucket/k',
        '--aes-key-file',
        aes,
        '--format',
        'v2',
        '--commitment-policy',
        'REQUIRE_ENCRYPT_ALLOW_DECRYPT',
      ],
      /leave out one of the two/,
    ],
    [
      'v3 under a policy that forbids it',
      [
        'put',
        file,
        's3://bucket/k',
        '--aes-key-file',
        aes,
        '--format',
        'v3',
        '--commitment-policy',
        'FORBID_ENCRYPT_ALLOW_DECRYPT',
      ],
      /leave out one of the two/,
    ],
    [
      'a part below the least of S3',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--part-size', '1MiB', ...line.here],
      /5 MiB/,
    ],
    [
      'a part size that is no multiple of 16',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--part-size', '6000001', ...line.here],
      /multiple of 16/,
    ],
    ['an ambiguous size', ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--part-size', '16M'], /16MiB or 16MB/],
    ['no queue', ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--queue-size', '0'], /whole number from 1/],
    ['a folder without --recursive', ['put', projectRoot, 's3://bucket/k/', '--aes-key-file', aes], /add --recursive/],
    [
      'several files for one key',
      ['put', file, aes, 's3://bucket/k', '--aes-key-file', aes],
      /end the destination in a slash/,
    ],
    ['stdin without a name', ['put', '-', 's3://bucket/k/', '--aes-key-file', aes], /stdin\) has no name/],
    ['--client-side none without --sse', ['put', file, 's3://bucket/k', '--client-side', 'none'], /--sse SSE-S3/],
    [
      '--client-side none with a key',
      ['put', file, 's3://bucket/k', '--client-side', 'none', '--sse', 'SSE-S3', '--aes-key-file', aes],
      /takes no key/,
    ],
    ['--sse alone', ['put', file, 's3://bucket/k', '--sse', 'SSE-S3'], /--client-side none/],
    [
      'SSE-C without its key',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--sse', 'SSE-C', ...line.here],
      /--sse-c-key-file FILE/,
    ],
    [
      'SSE-C over plain HTTP to another machine',
      ['stat', 's3://bucket/k', '--sse-c-key-file', aes, '--endpoint-url', 'http://192.0.2.1:9000'],
      /refused over plain HTTP/,
    ],
    [
      'a local folder and another place',
      ['ls', 's3://bucket', '--local', 'unused', '--endpoint-url', 'http://127.0.0.1:1'],
      /leave out --endpoint-url/,
    ],
    ['an endpoint that is none', ['ls', 's3://bucket', '--endpoint-url', '127.0.0.1:9000'], /is no endpoint/],
    [
      '--release for a file',
      ['get', 's3://bucket/k', 'out', '--aes-key-file', aes, '--release', 'delayed'],
      /go with stdout/,
    ],
    [
      '--json beside the object on stdout',
      ['get', 's3://bucket/k', '-', '--aes-key-file', aes, '--json'],
      /stdout carries the object/,
    ],
    ['get to S3', ['get', 's3://bucket/k', 's3://bucket/l', '--aes-key-file', aes], /get writes files/],
    [
      'an unknown choice',
      ['cat', 's3://bucket/k', '--aes-key-file', aes, '--legacy', 'all'],
      /wrapping or unauthenticated/,
    ],
    ['a port that is none', ['local', '--port', '70000'], /0 to 65535/],
    [
      'a part size that is no multiple of a block',
      [
        'put',
        file,
        's3://bucket/k',
        '--aes-key-file',
        aes,
        '--part-size',
        '5242881',
        '--endpoint-url',
        'http://127.0.0.1:1',
      ],
      /USAGE: --part-size is 5242881 bytes, expected a multiple of 16: the nearest is 5242880/,
    ],
    [
      'more threads than there may be',
      ['put', file, 's3://bucket/k', '--aes-key-file', aes, '--workers', '65', '--endpoint-url', 'http://127.0.0.1:1'],
      /USAGE: --workers is 65, expected an integer from 0 to 64/,
    ],
  ];
  test('wrong usage has exit status 2 and one line that says what to give instead', async (t) => {
    const outcomes = await line.runAll(wrong.map(([, args]) => args));
    for (const [index, [what, , message]] of wrong.entries()) {
      await t.test(what, () => {
        const outcome = outcomes[index];
        assert.match(outcome?.stderr ?? '', /^sealpipe: ERR_SEALPIPE_USAGE: [^\n]+ \(see sealpipe \w+ --help\)\n$/);
        assert.match(outcome?.stderr ?? '', message);
        assert.deepEqual([outcome?.status, outcome?.stdout], [2, '']);
      });
    }
  });

  test('a key in the place of a key file is refused without being repeated', async () => {
    for (const key of [
      '00112233445566778899aabbccddeeff00112233445566778899aabbccddee00',
      'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=',
    ]) {
      const said = await line.fails(['put', file, 's3://bucket/k', '--aes-key-file', key, ...line.here], {
        code: 'USAGE',
        message: /looks like a key itself.*chmod 600/,
      });
      assert.ok(!said.includes(key));
    }
  });

  test('no request was sent for any of this', () => {
    assert.deepEqual(line.endpoint.requests.counts(), {});
  });
});
