import { type Command, Option } from 'commander';
import { collect, collectPair } from '../pairs.ts';

/** Which keys wrap and unwrap data keys. */
export interface KeyOptions {
  readonly kmsKeyId?: string;
  readonly kmsDiscovery?: boolean;
  readonly kmsAccount?: readonly string[];
  readonly aesKeyFile?: string;
  readonly rsaPublicKey?: string;
  readonly rsaPrivateKey?: string;
  readonly materialsProvider?: string;
  readonly decryptionKey?: readonly string[];
  readonly encryptionContext?: Record<string, string>;
  readonly materialsDescription?: Record<string, string>;
}

const group = 'Keys (one kind; always files or ids, as arguments can be seen by others):';

/** @param options.direction what the command does with keys: only what serves it is offered */
export function addKeyOptions(command: Command, { direction }: { direction: 'encrypt' | 'decrypt' }): Command {
  const add = (flags: string, description: string, parse?: (argument: string, previous: never) => unknown): void => {
    const option = new Option(flags, description).helpGroup(group);
    command.addOption(parse === undefined ? option : option.argParser(parse as (argument: string) => unknown));
  };
  add('--kms-key-id <id>', 'a KMS key: id, key ARN, alias/name or alias ARN');
  if (direction === 'decrypt') {
    add('--kms-discovery', 'whatever KMS key the object was written with, of the accounts that --kms-account trusts');
    add('--kms-account <id>', 'an AWS account whose keys --kms-discovery trusts (repeatable)', collect);
  }
  add('--aes-key-file <file>', 'an AES key: 16, 24 or 32 bytes raw, in hex or in base64');
  if (direction === 'encrypt') {
    add('--rsa-public-key <file>', 'an RSA public key in PEM, from 2048 bits');
    add('--rsa-private-key <file>', 'an RSA private key in PEM; its public half encrypts');
  } else {
    add('--rsa-private-key <file>', 'an RSA private key in PEM (PKCS#8)');
    add(
      '--decryption-key <desc=file>',
      'a further AES or RSA key, for objects of that materials description: name=value[,name=value]=FILE or {"name":"value"}=FILE (repeatable)',
      collect,
    );
  }
  add(
    '--materials-provider <module>',
    'a JavaScript module whose default export is asked for the keyring of each object',
  );
  add(
    '--encryption-context <name=value>',
    direction === 'encrypt'
      ? 'for KMS keys: bound to the data key, stored in the clear, needed again for reading (repeatable)'
      : 'for KMS keys: exactly the context that the object was written with (repeatable)',
    collectPair('--encryption-context'),
  );
  if (direction === 'encrypt') {
    add(
      '--materials-description <name=value>',
      'for AES and RSA keys: stored in the clear, tells which key it is (repeatable)',
      collectPair('--materials-description'),
    );
  }
  return command;
}
