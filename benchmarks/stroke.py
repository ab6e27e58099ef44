def real_tables(step):
    return []
