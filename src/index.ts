export { errorCodes, SealpipeError, type SealpipeErrorCode, type SealpipeErrorFields } from './errors.ts';
