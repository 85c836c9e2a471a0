"""The one way in for files of others: which formats are read, what they may refer to, how much they may unpack to.

GDAL chooses drivers by content, and some go online: so the first bytes are read first, and GDAL gets one driver.
"""
