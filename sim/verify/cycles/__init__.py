"""The cycle model beside cycles that were counted in RTL."""
