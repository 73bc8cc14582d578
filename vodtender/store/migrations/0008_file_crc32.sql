-- oldest program: 1
-- The CRC32 of a VOD's file: the checksum that S3 proves of a whole object. Null where an older
-- program, or its backup, has the file from; then `file_sha256` is compared.

ALTER TABLE vods ADD COLUMN file_crc32 bigint;

-- An older program that runs beside this one records another file without it.
CREATE FUNCTION forget_crc32() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.file_crc32 := NULL;
    RETURN NEW;
END $$;

CREATE TRIGGER forget_crc32 BEFORE UPDATE OF file_sha256 ON vods FOR EACH ROW
    WHEN (NEW.file_sha256 IS DISTINCT FROM OLD.file_sha256
        AND NEW.file_crc32 IS NOT DISTINCT FROM OLD.file_crc32)
    EXECUTE FUNCTION forget_crc32();
