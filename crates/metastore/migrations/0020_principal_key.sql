-- What a principal proves itself by instead of a secret: signatures of these keys (a JSON Web Key Set). Its own, or those of
-- an issuer that it trusts. A secret has a hash and no keys; keys have an empty hash.
ALTER TABLE principal_secret ADD COLUMN keys TEXT;
ALTER TABLE principal_secret ADD COLUMN issuer TEXT;
ALTER TABLE principal_secret ADD COLUMN subject TEXT;
ALTER TABLE principal_secret ADD COLUMN audience TEXT;
