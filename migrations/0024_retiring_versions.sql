-- A deployment changes its versions without a gap: those that it had before keep their rows, with weight 0, and answer until the
-- new ones do. The planner ends that.
ALTER TABLE deployment_versions ADD COLUMN retiring_since timestamptz;
GRANT UPDATE (weight, retiring_since) ON deployment_versions TO berth_app;
CREATE POLICY retire ON deployment_versions FOR DELETE TO berth_system USING (retiring_since IS NOT NULL);
GRANT DELETE ON deployment_versions TO berth_system;
