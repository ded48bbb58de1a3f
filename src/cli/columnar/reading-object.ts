/** What `footer` and `rows` share: their options, and how they open the object. */
import type { Command } from 'commander';
import type { AuthenticateRule } from '../../index.ts';
import type { CommandContext } from '../command-run.ts';
import { addJsonOptions, addVerboseOption } from '../options/common-options.ts';
import { addAuthenticateOption, addReadFormatOptions } from '../options/format-options.ts';
import { addKeyOptions } from '../options/key-options.ts';
import { addPlaceOptions } from '../options/place-options.ts';
import { addCustomerKeyOption } from '../options/server-side-options.ts';
import { type ReadingOptions, withReading } from '../reading.ts';
import { parseObjectUrl } from '../s3-url.ts';
import { type ColumnarFile, openColumnar } from './columnar-file.ts';

export interface ColumnarOptions extends ReadingOptions {
  readonly authenticate?: AuthenticateRule;
}

export function addColumnarOptions(command: Command, what: string): void {
  addKeyOptions(command, { direction: 'decrypt' });
  addAuthenticateOption(addReadFormatOptions(command));
  addCustomerKeyOption(command);
  addPlaceOptions(command, { kms: true });
  addJsonOptions(command, what);
  addVerboseOption(command);
}

/** Opens an object, and the columnar file in it, with one GET and one unwrapped key where its footer is no larger than the tail. */
export async function withColumnarObject(
  operand: string,
  options: ColumnarOptions,
  context: CommandContext,
  work: (columnar: ColumnarFile) => Promise<void>,
): Promise<void> {
  const { signal } = context;
  await withReading(parseObjectUrl(operand), options, context, async ({ s3, params }) => {
    const { authenticate } = options;
    const object = await s3.open(params, { authenticate, access: 'random', signal });
    try {
      await work(await openColumnar(object, { signal }));
    } finally {
      await object.close();
    }
  });
}
