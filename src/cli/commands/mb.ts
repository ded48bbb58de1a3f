import { type BucketLocationConstraint, CreateBucketCommand } from '@aws-sdk/client-s3';
import { s3Failure } from '../../index.ts';
import { type CommandFactory, defineCommand } from '../command.ts';
import { addJsonOptions, addVerboseOption, type CommonOptions } from '../options/common-options.ts';
import { addPlaceOptions, type PlaceOptions } from '../options/place-options.ts';
import { parseBucketUrl } from '../s3-url.ts';

import { Session } from '../session.ts';

export const mbCommand: CommandFactory = defineCommand<CommonOptions & PlaceOptions>({
  name: 'mb',
  operands: '<s3://bucket>',
  description: "Makes a bucket, in the region that --region or the SDK's environment names.",
  help: { Examples: ['sealpipe mb s3://my-bucket --region eu-central-1'] },
  least: 1,
  most: 1,
  schema: 'mb',
  addOptions: (command) => {
    addPlaceOptions(command, { kms: false });
    addJsonOptions(command, 'one document: bucket, region');
    addVerboseOption(command);
  },
  run: async ([operand = ''], options, context) => {
    const bucket = parseBucketUrl(operand);
    const session = await Session.open({ place: options, note: context.note });
    try {
      const { client } = session;
      const region = await client.config.region();
      const command = new CreateBucketCommand({
        Bucket: bucket,
        // The one region that may not be named.
        ...(region === 'us-east-1'
          ? {}
          : { CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint } }),
      });
      await client.send(command, { abortSignal: context.signal }).catch((cause: unknown) => {
        throw s3Failure(cause, { operation: 'CreateBucket', bucket });
      });
      const document = { bucket, region };
      if (options.json === true) return context.output.json(document);
      await context.output.line(`made s3://${bucket} in ${region}`);
    } finally {
      await session.close();
    }
  },
});
