HELP=DESCRIPTION=EPILOG="x"
def add(c): pass
def run(a): pass
