"""Many processes spend from one purse while they are killed; then every cent is looked for."""
