import { DeleteBucketCommand } from '@aws-sdk/client-s3';
import { s3Failure } from '../../index.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { addJsonOptions, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { addPlaceOptions, type PlaceOptions } from '../options/place-options.ts';
import { parseBucketUrl } from '../s3-url.ts';

import { Session } from '../session.ts';

export const rbCommand: CommandFactory = defineCommand<CommonOptions & PlaceOptions>({
  name: 'rb',
  operands: '<s3://bucket>',
  description: 'Removes a bucket, which has to be empty.',
  help: { Examples: ['sealpipe rb s3://my-bucket'] },
  least: 1,
  most: 1,
  schema: 'rb',
  addOptions: (command) => {
    addPlaceOptions(command, { kms: false });
    addJsonOptions(command, 'one document: bucket');
    addVerboseOption(command);
  },
  run: async ([operand = ''], options, context) => {
    const bucket = parseBucketUrl(operand);
    const session = await Session.open({ place: options, note: context.note });
    try {
      const command = new DeleteBucketCommand({ Bucket: bucket });
      await session.client.send(command, { abortSignal: context.signal }).catch((cause: unknown) => {
        throw s3Failure(cause, { operation: 'DeleteBucket', bucket });
      });
      const document = { bucket };
      if (options.json === true) return context.output.json(document);
      await context.output.line(`removed s3://${bucket}`);
    } finally {
      await session.close();
    }
  },
});
