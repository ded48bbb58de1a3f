#!/usr/bin/env node
/** The entry point of the command line. */
// On Node 20 the SDK would put six lines about its future on the stderr of every command.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= 'true';

const { runCommandLine } = await import('./program.ts');
const status = await runCommandLine(process.argv.slice(2)).catch((error: NodeJS.ErrnoException) => {
  const missing = /'(@aws-sdk\/[^']+)'/.exec(error.message)?.[1];
  process.stderr.write(
    error.code === 'ERR_MODULE_NOT_FOUND' && missing !== undefined
      ? `sealpipe: ERR_SEALPIPE_CONFIG_INVALID: ${missing} is not installed: npm install @aws-sdk/client-s3 @aws-sdk/client-kms\n`
      : `sealpipe: ERR_SEALPIPE_INTERNAL: ${error.stack ?? error.message}\n`,
  );
  return 1;
});
// Not left to the event loop: a source that was not read to its end, or a connection kept alive, would hold the process.
process.exit(status);
