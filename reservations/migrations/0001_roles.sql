-- Two group roles of the cluster, shared by all its databases. A pool takes one on with SET ROLE when it connects, so
-- that a program can't do more than its part whoever it logged in as. They log in nowhere and own nothing.
DO $$
DECLARE
  group_role name;
BEGIN
  FOREACH group_role IN ARRAY ARRAY['reservations_reader', 'reservations_writer'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = group_role) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', group_role);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- another database of this cluster is migrated at this moment and was first
      END;
    END IF;
    IF NOT pg_has_role(current_user, group_role, 'USAGE') THEN
      BEGIN
        EXECUTE format('GRANT %I TO %I', group_role, current_user);
      EXCEPTION WHEN unique_violation THEN
        NULL;
      END;
    END IF;
  END LOOP;
END $$;

GRANT USAGE ON SCHEMA reservations TO reservations_reader, reservations_writer;
GRANT SELECT ON reservations.schema_migrations TO reservations_reader, reservations_writer;
