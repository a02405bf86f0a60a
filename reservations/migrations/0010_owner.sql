-- One role of the cluster owns all there is here: whoever migrates takes it on with SET ROLE, as later logins can that
-- are granted it. It logs in nowhere.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'reservations_owner') THEN
    BEGIN
      CREATE ROLE reservations_owner NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL; -- another database of this cluster is migrated at this moment and was first
    END;
  END IF;
  IF NOT pg_has_role(current_user, 'reservations_owner', 'USAGE') THEN
    BEGIN
      EXECUTE format('GRANT reservations_owner TO %I', current_user);
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END IF;
END $$;

ALTER SCHEMA reservations OWNER TO reservations_owner;

-- Indexes and rights go with their tables, months are tables of their own. The function that makes them runs with its
-- owner's rights: from now on with this role's, not with those of whoever migrated first.
DO $$
DECLARE
  thing record;
BEGIN
  FOR thing IN
    SELECT format('TABLE %s', oid::regclass) AS name FROM pg_class
    WHERE relnamespace = 'reservations'::regnamespace AND relkind IN ('r', 'p')
    UNION ALL
    SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'reservations'::regnamespace
  LOOP
    EXECUTE format('ALTER %s OWNER TO reservations_owner', thing.name);
  END LOOP;
END $$;
