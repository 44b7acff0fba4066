//! All SQL: pools, tenant transactions, one module per aggregate, migrations.
