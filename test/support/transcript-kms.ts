import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { KMSClient } from '@aws-sdk/client-kms';
import type { TranscriptEntry } from './vectors.ts';

/** A KMS that answers Decrypt from a transcript, by the rules of the conformance set. Real HTTP. */
export class TranscriptKms {
  /** Names of the operations asked for. */
  readonly operations: string[];
  readonly client: KMSClient;
  readonly #server: Server;

  private constructor(server: Server, client: KMSClient, operations: string[]) {
    this.operations = operations;
    this.#server = server;
    this.client = client;
  }

  static async start(transcript: readonly TranscriptEntry[]): Promise<TranscriptKms> {
    const known = new Map(transcript.map((entry) => [entry.ciphertextBlob, entry]));
    const operations: string[] = [];
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const operation = String(request.headers['x-amz-target']).split('.')[1] ?? '';
        operations.push(operation);
        const [status, answer] = decrypt(
          known,
          operation,
          JSON.parse(Buffer.concat(chunks).toString('utf8')) as DecryptRequest,
        );
        response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(answer));
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = new KMSClient({
      endpoint,
      region: 'us-east-1',
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    });
    return new TranscriptKms(server, client, operations);
  }

  async close(): Promise<void> {
    this.client.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

interface DecryptRequest {
  CiphertextBlob: string;
  EncryptionContext?: Record<string, string>;
  KeyId?: string;
}

function decrypt(
  known: ReadonlyMap<string, TranscriptEntry>,
  operation: string,
  request: DecryptRequest,
): [number, object] {
  if (operation !== 'Decrypt') return [400, { __type: 'UnknownOperationException' }];
  const entry = known.get(request.CiphertextBlob);
  const sorted = (map: Record<string, string> = {}): string => JSON.stringify(Object.entries(map).sort());
  if (entry === undefined || sorted(entry.encryptionContext) !== sorted(request.EncryptionContext)) {
    return [400, { __type: 'InvalidCiphertextException' }];
  }
  if (request.KeyId !== undefined && request.KeyId !== entry.keyId && !entry.aliases.includes(request.KeyId)) {
    return [
      400,
      {
        __type: 'IncorrectKeyException',
        message: 'The key ID in the request does not identify a CMK that can perform this operation.',
      },
    ];
  }
  return [200, { KeyId: entry.keyId, Plaintext: entry.plaintext, EncryptionAlgorithm: 'SYMMETRIC_DEFAULT' }];
}
