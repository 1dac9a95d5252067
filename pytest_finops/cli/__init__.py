"""The console script ``finops-playbook``."""
